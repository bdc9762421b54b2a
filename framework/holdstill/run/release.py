"""Let go: ask whether it held to the end, then keep every promise, last first."""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from holdstill.errors import BackupError, HoldstillError
from holdstill.journal.records import Promise
from holdstill.run.outcome import Held
from holdstill.run.run import Run

log = structlog.get_logger()

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0


def still_held_well(run: Run) -> None:
    """Raise BackupError if anything that was promised did not hold until now: the backup read garbage."""
    for promise in run.journal.open_promises:
        if run.plugins.implements(promise.plugin, "holdstill_still"):
            try:
                run.plugins.call(promise.plugin, "holdstill_still", facts=promise.facts, host=run.host)
            except HoldstillError as error:
                raise BackupError(
                    f"What was backed up did not hold to the end: {promise.what}: {error}"
                ) from error


def let_go(run: Run) -> None:
    """Keep all promises, trying again what is still in use, up to the run's limit.

    What remains is told in ``run.outcome.still_held``; nothing is raised.
    """
    for pause in (*_pauses(run.job.release_within), None):
        remaining = _keep_promises(run)
        if pause is None or not _may_succeed_later(run):
            break
        log.debug("still in use", what=remaining[0].what, why=remaining[0].why)
        run.host.pause(pause)
    run.outcome.still_held = remaining
    for held in remaining:
        log.error("still held", what=held.what, why=held.why, by_hand=held.by_hand)


def keep_all(run: Run, why: str) -> None:
    """Undo nothing now: what is still being done would be looked for too early, and never be undone."""
    promises = reversed(run.journal.open_promises)
    run.outcome.still_held = [Held(what=one.what, by_hand=one.by_hand, why=why) for one in promises]
    log.error("nothing is let go of", why=why)


def _may_succeed_later(run: Run) -> bool:
    """A promise whose plugin is not there will not be kept by trying again."""
    return any(
        run.plugins.implements(promise.plugin, "holdstill_undo") for promise in run.journal.open_promises
    )


def _keep_promises(run: Run) -> list[Held]:
    """Try every promise once, last first; a failure stops none of the others."""
    remaining: list[Held] = []
    for promise in reversed(run.journal.open_promises):
        try:
            _keep(run, promise)
        except HoldstillError as error:
            if error.__cause__ and not isinstance(error.__cause__, HoldstillError):
                log.exception("a plugin's defect", plugin=promise.plugin, what=promise.what)
            remaining.append(Held(what=promise.what, by_hand=promise.by_hand, why=str(error)))
    return remaining


def _keep(run: Run, promise: Promise) -> None:
    run.plugins.call(promise.plugin, "holdstill_undo", facts=promise.facts, host=run.host)
    run.journal.undone(promise)
    log.debug("let go", what=promise.what, guest=promise.guest)


def _pauses(within: float) -> Iterator[float]:
    """Pauses that grow, together as long as ``within``."""
    pause = FIRST_PAUSE
    while within > 0:
        yield min(pause, within)
        within -= pause
        pause = min(pause * 1.5, LONGEST_PAUSE)
