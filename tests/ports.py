"""Ports of the loopback interface for servers that take none that is open already."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack

NEVER_BY_CHANCE = range(10_000, 32_768)
"Below those that the kernel gives to whoever connects to something (ip_local_port_range)."


def free_ports(count: int) -> list[int]:
    """Find ports that nobody has, all at once so that they differ; who connects somewhere gets none of them."""
    with ExitStack() as stack:
        return [stack.enter_context(_bound()).getsockname()[1] for _ in range(count)]


def _bound() -> socket.socket:
    while True:
        try:
            return socket.create_server(("127.0.0.1", random.choice(NEVER_BY_CHANCE)))
        except OSError:
            continue
