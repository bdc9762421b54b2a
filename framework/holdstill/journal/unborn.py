"""Journals that are being made, and those of processes that were killed while they made one.

Such a file has no lock for a moment, so the folder's tells: whoever makes a journal shares it, and whoever gets it
alone knows that nobody does. The kernel takes it back from a process that ends, however it ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


def unborn(folder: Path, run: str) -> Path:
    """Name the journal of a run that is not there yet."""
    return folder / f".{run}.new"


@contextmanager
def being_made(folder: Path) -> Iterator[None]:
    """Make a journal inside. Raises OSError if the folder cannot be opened."""
    with _locked(folder, fcntl.LOCK_SH):
        yield


def remove_unborn(folder: Path) -> None:
    """Remove what nobody makes any more; nothing, if somebody makes a journal at this moment."""
    with suppress(OSError), _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB):
        for path in folder.glob(".*.new"):
            path.unlink()


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
