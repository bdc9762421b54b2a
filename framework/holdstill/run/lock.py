"""One run of a job at a time; and who sees to what runs have left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from holdstill.errors import PermissionRefusedError, StorageError, UnavailableError
from holdstill.journal.lock import acquire, share, taken


@contextmanager
def job_lock(locks: Path, job: str) -> Iterator[None]:
    """Have the job to ourselves. Raises UnavailableError, saying who has it, if somebody else does.

    It is the first thing that a run changes, and so where who is not root is told.
    """
    path = locks / f"{job}.lock"
    try:
        locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError:
        raise PermissionRefusedError(
            f"{locks} is root's, as guests' disks are; try «sudo holdstill …»."
        ) from None
    except OSError as error:
        raise StorageError(f"The lock {path} cannot be made: {error.strerror}.") from None
    try:
        if not acquire(descriptor):
            raise UnavailableError(
                f"The job {job!r} is busy: {_who(descriptor)}. Try again when it has ended."
            )
        _sign(descriptor)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def recovering(locks: Path) -> Iterator[None]:
    """Let others see that what is abandoned is seen to, as long as we are inside. Any number may be at once."""
    with suppress(OSError):  # on a disk that is full or read-only, nobody sees it, and that does no harm
        locks.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        with suppress(OSError):
            descriptor = os.open(_recovery(locks), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            stack.callback(os.close, descriptor)
            share(descriptor)
        yield


def is_recovering(locks: Path) -> bool:
    """Tell whether somebody sees to what is abandoned."""
    try:
        descriptor = os.open(_recovery(locks), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return taken(descriptor)
    finally:
        os.close(descriptor)


def _recovery(locks: Path) -> Path:
    return locks / ".recover.lock"  # no job's: those begin with a letter or a digit


def _sign(descriptor: int) -> None:
    """Leave word who we are, for the message that others get; the lock itself is the kernel's."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}".encode(), 0)


def _who(descriptor: int) -> str:
    who = os.pread(descriptor, 100, 0).decode(errors="replace")
    return f"{who} is running it" if who else "another process is starting it"
