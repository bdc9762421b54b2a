"""How a run ended."""

from __future__ import annotations

import msgspec

from holdstill.errors import ExitCode, HoldstillError, RunInterrupted


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


class Outcome(msgspec.Struct, kw_only=True):
    """How a run ended, as ``holdstill_finished`` hears it and ``--json`` prints it."""

    run: str
    job: str
    session: str
    failures: list[Failure] = []
    still_held: list[Held] = []
    backup: dict[str, object] = {}
    "What the backup said of itself."
    seconds: dict[str, float] = {}
    "How long each phase took."
    quiet_seconds: dict[str, float] = {}
    "How long each guest was held still."
    frozen_seconds: dict[str, float] = {}
    "How long the disks of each guest of which several had to be of one moment were frozen."

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
        """What went wrong, in a line."""
        parts = [failure.sentence for failure in self.failures]
        if self.still_held:
            held = ", ".join(held.what for held in self.still_held)
            parts.append(
                f"Still held: {held} ({self.still_held[0].why}). «holdstill held» tells how to let go."
            )
        return " ".join(parts)
