"""Word to a ``pre`` that is still at work that its ``post`` has come: nobody waits for what it is about to hold.

Only who has a journal writes to it, so this is a file beside it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from holdstill.errors import StorageError
from holdstill.journal.shelf import journals_in

ENDING = ".unwanted"


def say_unwanted(state: Path, run: str) -> None:
    """Leave word. Raises StorageError if that cannot be written."""
    path = _word_to(state, run)
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from None


def is_unwanted(state: Path, run: str) -> bool:
    """Tell whether there is word."""
    return _word_to(state, run).exists()


def forget_unwanted(state: Path) -> None:
    """Remove word to runs that have ended."""
    for path in journals_in(state).glob(f"*{ENDING}"):
        if not path.with_suffix(".jsonl").exists():
            with suppress(OSError):
                path.unlink()


def _word_to(state: Path, run: str) -> Path:
    return journals_in(state) / f"{run}{ENDING}"
