"""Locks that say whether a run lives.

Open-file-description locks (fcntl(2), Linux 3.15) rather than flock(2): they go with the last
descriptor of the process just the same, and can be *tested* without being taken for a moment,
which would make another process's attempt fail.
"""

from __future__ import annotations

import fcntl
import os
import struct

_FLOCK = "hhqqi4x"  # struct flock: l_type, l_whence, l_start, l_len, l_pid


def acquire(descriptor: int) -> bool:
    """Take the lock if it is free; tell whether it is ours now. Never waits."""
    try:
        fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _request())
    except (BlockingIOError, PermissionError):
        return False
    return True


def share(descriptor: int) -> None:
    """Take the lock together with others who share it. Raises OSError if somebody has it alone."""
    fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _request(fcntl.F_RDLCK))


def taken(descriptor: int) -> bool:
    """Tell whether somebody else has the lock, without touching it."""
    answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _request())
    return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)


def _request(kind: int = fcntl.F_WRLCK) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)
