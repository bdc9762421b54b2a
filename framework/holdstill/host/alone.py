"""Have a guest's disk to ourselves for a moment, among all runs of this host.

Two jobs may hold one guest at once: LVM makes several snapshots of one origin. But while one of them holds it still,
the other must not wake the origin, nor change its own snapshot of it, and no two may quiesce one guest.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from holdstill.errors import StorageError, UnavailableError

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
"Seconds between two tries: the kernel waits for a lock without a limit, or not at all."


@contextmanager
def alone_with(
    locks: Path, disks: Iterable[str], within: float, pause: Callable[[float], object]
) -> Iterator[None]:
    """Hold the locks of disks, in the folder ``locks``; the kernel takes them back when we end, whatever ends us.

    All take them in the same order, so no two wait for each other. flock(2), because it needs no right to write: what
    is to be let go of must not depend on a disk that is not full.

    Raises UnavailableError if others have one for longer than ``within`` seconds, StorageError if it cannot be made.
    """
    with ExitStack() as taken:
        for disk in sorted(set(disks)):
            descriptor = _open(locks / f"disk-{hashlib.sha256(disk.encode()).hexdigest()[:16]}.lock")
            taken.callback(os.close, descriptor)
            if not _taken_within(descriptor, within, pause):
                raise UnavailableError(
                    f"Other runs have held the disk {disk} still, or let go of it, for {within:g} s; «holdstill held» "
                    "tells which there are. Try again."
                )
        yield


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StorageError(f"The lock {path} cannot be made: {error.strerror}.") from None


def _taken_within(descriptor: int, seconds: float, pause: Callable[[float], object]) -> bool:
    step = FIRST_PAUSE
    while not _taken(descriptor):
        if seconds <= 0:
            return False
        pause(step)
        seconds -= step
        step = min(step * 1.5, LONGEST_PAUSE)
    return True


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
