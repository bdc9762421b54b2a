"""Let go: ask whether it held to the end, then keep every promise, last first."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import structlog

from holdstill.errors import BackupError, HoldstillError
from holdstill.journal.records import Promise
from holdstill.run.outcome import Held
from holdstill.run.run import Run
from holdstill.run.side_by_side import SideBySide

log = structlog.get_logger()

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0


def still_held_well(run: Run) -> None:
    """Raise BackupError if anything that was promised did not hold until now: the backup read garbage."""
    with SideBySide[None]() as asking:
        for promise in run.journal.open_promises:
            if run.plugins.implements(promise.plugin, "holdstill_still"):
                asking.start(_held_well, run, promise)
    asking.results()


def _held_well(run: Run, promise: Promise) -> None:
    try:
        run.plugins.call(promise.plugin, "holdstill_still", facts=promise.facts, host=run.host)
    except HoldstillError as error:
        raise BackupError(f"What was backed up did not hold to the end: {promise.what}: {error}") from error


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
    """Try every promise once, last first, several guests at once; a failure stops none of the others.

    What was promised for no guest in particular was there before, or came after, all that it is in order with.
    """
    remaining: list[Held] = []
    last_first = list(reversed(run.journal.open_promises))
    for whole, promises in groupby(last_first, key=lambda promise: not promise.guest):
        part = list(promises)
        guests = [part] if whole else [[one for one in part if one.guest == name] for name in _guests(part)]
        with SideBySide[list[Held]]() as keeping:
            for promised in guests:
                keeping.start(_keep_in_order, run, promised)
        remaining += [held for kept in keeping.results() for held in kept]
    return remaining


def _guests(promises: list[Promise]) -> list[str]:
    return list(dict.fromkeys(promise.guest for promise in promises))


def _keep_in_order(run: Run, promises: list[Promise]) -> list[Held]:
    return [held for promise in promises if (held := _keep(run, promise))]


def _keep(run: Run, promise: Promise) -> Held | None:
    """Keep a promise; say why it is still held if it cannot be kept."""
    try:
        _undo(run, promise)
    except HoldstillError as error:
        if error.__cause__ and not isinstance(error.__cause__, HoldstillError):
            log.exception("a plugin's defect", plugin=promise.plugin, what=promise.what)
        return Held(what=promise.what, by_hand=promise.by_hand, why=str(error))
    return None


def _undo(run: Run, promise: Promise) -> None:
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
