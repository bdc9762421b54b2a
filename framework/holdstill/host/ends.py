"""Wait for the end of processes that are not our children."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack

from holdstill.host.command import readable


def wait_for_an_end(pids: Sequence[int], seconds: float) -> float:
    """Wait until one of the processes has ended (pidfd_open(2)), for ``seconds`` at most; give how long it was."""
    began = time.monotonic()
    with ExitStack() as stack:
        descriptors = []
        for pid in pids:
            try:
                descriptor = os.pidfd_open(pid)
            except ProcessLookupError:
                return time.monotonic() - began
            stack.callback(os.close, descriptor)
            descriptors.append(descriptor)
        readable(descriptors, seconds)
    return time.monotonic() - began
