"""The lines of a journal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from holdstill.facts import Fact
from holdstill.words import Quieted

VERSION = 1


class Header(msgspec.Struct, frozen=True, kw_only=True, tag="run", tag_field="record"):
    """The first line: which run this is. Times are seconds since the epoch."""

    version: int = VERSION
    id: str
    job: str
    session: str
    trees: str
    started: float
    boot: str
    "The kernel's boot id: a hold on a machine that has booted since is nobody's."
    pid: int
    "For messages only; whether the run lives is told by the lock."
    process_session: int = 0
    "The run's session (setsid(2)): commands of its that outlive it are in it, daemons are not."
    release_within: float
    "How long letting go is tried, in seconds."
    around: dict[str, Any] = {}
    "The options of the plugins that take part in the job's phases: whoever releases reads no configuration."


class Promise(msgspec.Struct, frozen=True, kw_only=True, tag="promise", tag_field="record"):
    """How one change is undone."""

    number: int
    "Given by the journal: 0 in what is handed to it."
    plugin: str
    guest: str = ""
    what: str
    by_hand: str
    "A line for root's shell."
    facts: dict[str, Fact]
    afterwards: bool = False
    "Kept when all others are kept, or have finally failed."


class Undone(msgspec.Struct, frozen=True, kw_only=True, tag="undone", tag_field="record"):
    """A promise that was kept. Losing this line costs another look, nothing else: it is not fsynced."""

    number: int


class HandedOver(msgspec.Struct, frozen=True, kw_only=True, tag="handed-over", tag_field="record"):
    """``pre`` is over: nobody's process holds this now, and it is not abandoned until the lease ends.

    The last one counts: whoever takes the journal over ends the lease with another.
    """

    lease_ends: float
    "0: it has ended."
    lease_ends_boottime: float = 0
    "The same moment by CLOCK_BOOTTIME, which nobody sets; it counts as long as the machine does not boot."
    seconds: dict[str, float] = {}
    "How long each phase took until then."
    quiet_seconds: dict[str, float] = {}
    frozen_seconds: dict[str, float] = {}
    applications: list[Quieted] = []


class KeptOpen(msgspec.Struct, frozen=True, kw_only=True, tag="kept-open", tag_field="record"):
    """Who kept things open when they were to be let go of. The last one counts; not fsynced."""

    by: list[str]


Record: TypeAlias = Header | Promise | Undone | HandedOver | KeptOpen

_decoder = msgspec.json.Decoder(Record)


def encode(record: Record) -> bytes:
    """Give the record as one line, with its end."""
    return msgspec.json.encode(record) + b"\n"


def decode(line: bytes) -> Record | None:
    """Give the record that a line holds; ``None`` if it holds none."""
    try:
        record: Record = _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return record


def last_first(promises: Iterable[Promise]) -> list[Promise]:
    """Give promises in the order in which they are kept."""
    return sorted(promises, key=lambda promise: (promise.afterwards, -promise.number))
