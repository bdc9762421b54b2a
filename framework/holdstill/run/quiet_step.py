"""One application's quiet time: entered in time, measured, and minded if it was not quiet for all of the snapshot."""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, NamedTuple

import msgspec
import structlog

from holdstill.errors import HoldstillError, SnapshotError
from holdstill.host.failures import CommandStuckError, NotLetGoError
from holdstill.journal.records import last_first
from holdstill.run.release import keep
from holdstill.run.run import Run
from holdstill.run.step_error import StepError
from holdstill.units import Duration
from holdstill.words import QuiesceOptions, Quieted, Step

log = structlog.get_logger()

HOOK = "holdstill_quiesce"
SHORTEST = 0.001
"Seconds that are left of a budget that is used up: a time is more than none."


class Limits(NamedTuple):
    """What a step's options say of its time, in seconds; a stranger's need not."""

    within: float = 0
    "Besides what the hook may take anyway."
    at_most: float = math.inf
    may_fail: bool = False

    @classmethod
    def of(cls, options: msgspec.Struct) -> Limits:
        """Read a step's options."""
        if not isinstance(options, QuiesceOptions):
            return cls()
        return cls(options.within, options.at_most, options.if_not_quiet == "crash-consistent")


class QuietStep:
    """Enters one quiesce step and leaves it. A failure of its own is one of the job, unless the step says otherwise."""

    def __init__(self, run: Run, step: Step[Any], left: float) -> None:
        self._run = run
        self._step = _with_less(step, left)
        limits = Limits.of(self._step.options)
        self._limits = limits._replace(at_most=min(limits.at_most, left))
        self._hold = run.hold(step.plugin, step.guest)
        self._entered: AbstractContextManager[None] | None = None
        self._began = 0.0

    def __enter__(self) -> None:
        plugins, step = self._run.plugins, self._step
        log.info("quiesce", guest=step.guest, step=step.plugin)
        try:
            if not self._limits.at_most:
                raise SnapshotError("The job's 'quiet-budget' was used up before it was its turn.")
            made = self._run.call(step, HOOK, hold=self._hold)
            bounded = plugins.context(step.plugin, HOOK, made, longer=self._limits.within)
            bounded.__enter__()
        except HoldstillError as error:
            self._not_quiet(error)
        else:
            self._entered, self._began = bounded, time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._entered is None:
            return
        try:
            self._entered.__exit__(kind, error, trace)
            self._held_long_enough()
        except HoldstillError as raised:
            if raised is error:
                raise
            self._not_quiet(raised, failed_already=error is not None)
        else:
            self._note()

    def _held_long_enough(self) -> None:
        """Raise SnapshotError if it was longer than the application stays quiet."""
        if time.monotonic() - self._began > self._limits.at_most:
            raise SnapshotError(
                f"It was held for {time.monotonic() - self._began:.1f} s, longer than it stays quiet "
                f"({Duration(self._limits.at_most)}): the snapshot may have been made too late."
            )

    def _not_quiet(self, error: HoldstillError, *, failed_already: bool = False) -> None:
        """Fail, or go on without it: only if it is certain that it does not stay quiet meanwhile."""
        self._note(str(error))
        may_be_quiet = self._may_be_quiet_yet(error)
        if failed_already:
            log.error("did not let go in order", step=self._step.title, why=str(error))
        elif self._limits.may_fail and not may_be_quiet:
            log.warning("not quiet, the snapshot is crash-consistent", step=self._step.title, why=str(error))
        else:
            raise StepError(self._step, error) from error

    def _may_be_quiet_yet(self, error: HoldstillError) -> bool:
        """Undo what the step promised and has not undone itself; tell whether the application may be quiet still."""
        if _is_stuck(error):
            return True  # it may become quiet yet: nothing is undone before that command has ended
        with self._run.interruption.shield():
            failed = list(
                filter(None, [keep(self._run, one) for one in last_first(self._hold.still_promised)])
            )
        if not self._hold.promised_anything and isinstance(error, NotLetGoError):
            return True  # nobody but the program itself knows
        for one in failed:
            log.error("may be quiet still", step=self._step.title, what=one.promise.what, why=one.why)
        return bool(failed)

    def _note(self, why_not: str = "") -> None:
        seconds = time.monotonic() - self._began if self._began else 0
        step = self._step
        self._run.outcome.applications.append(
            Quieted(guest=step.guest, plugin=step.plugin, seconds=seconds, why_not=why_not)
        )
        if not why_not:
            log.info("was quiet", guest=step.guest, step=step.plugin, seconds=round(seconds, 3))


def _is_stuck(error: BaseException | None) -> bool:
    """Whether a command was left to itself, also if letting go failed because of it."""
    return error is not None and (isinstance(error, CommandStuckError) or _is_stuck(error.__context__))


def _with_less(step: Step[Any], left: float) -> Step[Any]:
    """Give the step no more time than is left of the job's budget."""
    options = step.options
    if not isinstance(options, QuiesceOptions) or math.isinf(left):
        return step
    less = {
        name: Duration(max(SHORTEST, min(getattr(options, name), left))) for name in ("within", "at_most")
    }
    return msgspec.structs.replace(step, options=msgspec.structs.replace(options, **less))
