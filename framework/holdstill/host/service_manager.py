"""Tell who started us how far we are: systemd's notification protocol (sd_notify(3)).

A datagram to the socket that ``NOTIFY_SOCKET`` names. systemd listens there for units of ``Type=notify``; for
what runs in the background we listen ourselves (:mod:`holdstill.host.detached`).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress

READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"
SOCKET = "NOTIFY_SOCKET"


def notify(state: str) -> None:
    """Tell it, if anybody listens. That nobody hears it changes nothing."""
    address = os.environ.get(SOCKET, "")
    if not address.startswith(("/", "@")):
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
        teller.setblocking(False)
        teller.sendto(state.encode(), "\0" + address[1:] if address.startswith("@") else address)


def watchdog_interval() -> float | None:
    """Give how often, in seconds, systemd wants to hear that we live, if it does (sd_watchdog_enabled(3))."""
    wanted, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID", "")
    if not wanted.isdecimal() or pid not in {"", str(os.getpid())} or not int(wanted):
        return None
    return int(wanted) / 1_000_000
