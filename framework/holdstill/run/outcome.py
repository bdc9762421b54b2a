"""How a run ended."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec

from holdstill.errors import ExitCode, HoldstillError, RunInterrupted
from holdstill.host import Holder
from holdstill.words import Quieted


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """Something that went wrong, where, and the exit code that it would have alone."""

    phase: str
    sentence: str
    code: int

    @classmethod
    def of(cls, phase: str, error: BaseException) -> Failure:
        """Give the failure that an error is."""
        if isinstance(error, RunInterrupted):
            return cls(phase=phase, sentence=f"{error}.", code=128 + error.signal_number)
        code = error.code if isinstance(error, HoldstillError) else ExitCode.BUG
        return cls(phase=phase, sentence=str(error), code=code)


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Something that could not be let go of."""

    what: str
    by_hand: str
    why: str
    kept_open_by: list[Holder] = []
    afterwards: bool = False
    "Whether it is what was to be done after all else was let go of: a service that was to be started again."


MeasureName = Annotated[str, msgspec.Meta(pattern="^[a-z][a-z0-9_]*$")]
"What a measure may be called."


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a step measured."""

    name: str
    "What it is, with its unit, as Prometheus would have it: ``snapshot_fill_ratio``."
    value: float
    guest: str = ""
    what: str
    "What was measured, for people."


class CallerVerdict(StrEnum):
    """What the caller of ``post`` says of the backup that it made."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"
    "It does not say, or does not know."


class Outcome(msgspec.Struct, kw_only=True):
    """How a run ended, as ``holdstill_finished`` hears it and ``--json`` prints it."""

    run: str
    job: str
    session: str
    started: float = 0
    "When it began, in seconds since the epoch; 0 if that is not known."
    recovered: bool = False
    "Whether somebody else had to end it: its own process was killed, or nobody called its ``post``. It is no success."
    caller_verdict: CallerVerdict | None = None
    "What the caller of ``post`` says of its backup; none where nobody called it. It is no failure of the run's."
    failures: list[Failure] = []
    still_held: list[Held] = []
    backup: dict[str, object] = {}
    "What the backup said of itself."
    seconds: dict[str, float] = {}
    "How long each phase took."
    quiet_seconds: dict[str, float] = {}
    "How long each guest was held still: with all of its applications quiet, or becoming so."
    applications: list[Quieted] = []
    "How long each application was quiet, and those that were not."
    kept: dict[str, str] = {}
    "What was kept for whoever restores, by ``GUEST@NAME``."
    frozen_seconds: dict[str, float] = {}
    "How long the disks of each guest of which several had to be of one moment were frozen."
    notes: list[str] = []
    "What was done about the end, a sentence each, by plugins that heard of it."
    measures: list[Measure] = []
    "What its steps measured of what they looked after, such as how full a snapshot was."

    @property
    def crash_consistent(self) -> list[Quieted]:
        """The applications that were not quiet, though the job went on."""
        return [one for one in self.applications if one.why_not]

    @property
    def ok(self) -> bool:
        """Whether nothing went wrong."""
        return not self.failures and not self.still_held

    @property
    def code(self) -> int:
        """What to exit with: what is still held weighs most, then what failed first."""
        if self.still_held:
            return ExitCode.STILL_HELD
        return self.failures[0].code if self.failures else ExitCode.OK

    @property
    def sentence(self) -> str:
        """What went wrong, and what was done about it, in a line."""
        parts = [failure.sentence for failure in self.failures]
        if self.still_held:
            held = ", ".join(held.what for held in self.still_held)
            parts.append(
                f"Still held: {held} ({self.still_held[0].why}). «holdstill held» tells how to let go."
            )
        return " ".join([*parts, *self.notes])
