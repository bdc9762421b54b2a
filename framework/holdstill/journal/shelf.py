"""All journals of this host."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path

import msgspec

from holdstill.errors import PermissionRefusedError
from holdstill.journal.lock import taken
from holdstill.journal.story import Story, tell


class State(StrEnum):
    """Whose a hold is."""

    LIVING = "living"
    "A process works on it."
    HANDED_OVER = "handed over"
    "``pre`` has ended well; ``post`` will come, or the lease ends."
    ABANDONED = "abandoned"
    "Nobody's: the run was killed, could not let go, or its lease has ended. ``recover`` takes it."


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """One run's hold, as its journal tells it."""

    path: Path
    run: str
    state: State
    story: Story


def journals_in(state: Path) -> Path:
    """The folder with the journals."""
    return state / "journals"


def holds(state: Path, boot: str, now: float | None = None) -> Iterator[Held]:
    """Give every hold of this host, oldest first, changing and locking nothing."""
    folder = journals_in(state)
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".jsonl")
    except FileNotFoundError:
        return
    except PermissionError:
        raise PermissionRefusedError(f"{folder} can be read by root only; try «sudo holdstill …».") from None
    for path in paths:
        if held := _held(path, boot, time.time() if now is None else now):
            yield held


def _held(path: Path, boot: str, now: float) -> Held | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        lives = taken(descriptor)  # asked first: a run that hands over meanwhile must not look abandoned
        found = os.fstat(descriptor)
        if not found.st_nlink:
            return None
        story = tell(os.pread(descriptor, found.st_size, 0))
    finally:
        os.close(descriptor)
    return Held(path=path, run=path.stem, state=_state(story, boot, now, lives=lives), story=story)


def _state(story: Story, boot: str, now: float, *, lives: bool) -> State:
    if lives:
        return State.LIVING
    lease = story.handed_over
    if lease and story.header and story.header.boot == boot and now < lease.lease_ends:
        return State.HANDED_OVER
    return State.ABANDONED


def boot_id() -> str:
    """The kernel's id of this boot (random(4))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
