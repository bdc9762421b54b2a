"""All journals of this host."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

import msgspec

from holdstill.errors import PermissionRefusedError, StorageError
from holdstill.journal.lock import taken
from holdstill.journal.records import HandedOver
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


class Now(NamedTuple):
    """A moment, by both clocks."""

    clock: float
    "Seconds since the epoch, as somebody has set it."
    boottime: float
    "Seconds since the boot, suspended ones included."


def now() -> Now:
    """Give this moment."""
    return Now(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME))


def holds(state: Path, boot: str, at: Now | None = None) -> Iterator[Held]:
    """Give every hold of this host, as it is at that moment, oldest first, changing and locking nothing."""
    folder = journals_in(state)
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == ".jsonl")
    except FileNotFoundError:
        return
    except PermissionError:
        raise PermissionRefusedError(f"{folder} can be read by root only; try «sudo holdstill …».") from None
    except OSError as error:
        raise StorageError(f"The journals {folder} cannot be read: {error.strerror}.") from None
    for path in paths:
        if held := _looked_at(path, boot, at or now()):
            yield held


def _looked_at(path: Path, boot: str, at: Now) -> Held | None:
    """Give a run's hold, if it is still there; one that a bad disk does not show must not hide the others."""
    try:
        return _held(path, boot, at)
    except FileNotFoundError:
        return None
    except OSError as error:
        story = Story(header=None, damage=f"reading it fails: {error.strerror}")
        return Held(path=path, run=path.stem, state=State.ABANDONED, story=story)


def _held(path: Path, boot: str, at: Now) -> Held | None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        lives = taken(descriptor)  # asked first: a run that hands over meanwhile must not look abandoned
        found = os.fstat(descriptor)
        if not found.st_nlink:
            return None
        story = tell(os.pread(descriptor, found.st_size, 0))
    finally:
        os.close(descriptor)
    return Held(path=path, run=path.stem, state=_state(story, boot, at, lives=lives), story=story)


def _state(story: Story, boot: str, at: Now, *, lives: bool) -> State:
    if lives:
        return State.LIVING
    lease = story.handed_over
    if lease and story.header and story.header.boot == boot and _runs(lease, at):
        return State.HANDED_OVER
    return State.ABANDONED


def _runs(lease: HandedOver, at: Now) -> bool:
    """Whether a lease of this boot has not ended: by the clock that nobody sets, unless an older holdstill wrote it."""
    if lease.lease_ends and lease.lease_ends_boottime:
        return at.boottime < lease.lease_ends_boottime
    return at.clock < lease.lease_ends


BOOT = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str:
    """The kernel's id of this boot (random(4))."""
    return Path(BOOT).read_text().strip()
