"""What became of a hold while its caller was not there to be told; kept until its ``post`` comes and asks.

A backup that read on while its hold was let go of read nothing, or something else, perhaps with exit code 0.
"""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import msgspec

from holdstill.errors import StorageError
from holdstill.journal.journal import sync_folder
from holdstill.journal.shelf import journals_in

KEPT_FOR = 7 * 86400.0
"Seconds after which nobody will ask any more."


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Why a backup that read a hold is not good."""

    run: str
    job: str
    session: str
    sentence: str

    def is_of(self, job: str, session: str) -> bool:
        """Whether it is for whoever calls ``post`` for that job and session."""
        return (self.job, self.session) == (job, session)


def leave_verdict(state: Path, verdict: Verdict) -> None:
    """Leave word for the caller; a second word on the same run changes nothing.

    Raises StorageError if it cannot be written.
    """
    path = journals_in(state) / f"{verdict.run}.verdict"
    try:
        if not path.exists():
            _write(path, msgspec.json.encode(verdict) + b"\n")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.") from None


def _write(path: Path, content: bytes) -> None:
    """Have it on the disk, and never half of it: what it tells of is let go of next, and then nobody else knows."""
    fresh = path.with_suffix(".unheard")
    with open(fresh, "wb", opener=partial(os.open, mode=0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    sync_folder(path.parent)


def verdicts(state: Path) -> Iterator[tuple[Path, Verdict]]:
    """Give all that was left, oldest first, with the file that it is in."""
    for path in sorted(journals_in(state).glob("*.verdict")):
        with suppress(OSError, msgspec.MsgspecError):
            yield path, msgspec.json.decode(path.read_bytes(), type=Verdict)


def take_verdicts(state: Path, job: str, session: str, *, but: Container[str] = ()) -> list[Verdict]:
    """Give, once, what was left for that caller, ``but`` of some runs by their ids.

    Also throw away what nobody has asked for in all the time.
    """
    found = []
    for path, verdict in verdicts(state):
        with suppress(OSError):
            asked = verdict.is_of(job, session) and verdict.run not in but
            if asked or time.time() - path.stat().st_mtime > KEPT_FOR:
                path.unlink()
            if asked:
                found.append(verdict)
    return found
