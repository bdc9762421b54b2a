"""Let go: ask whether it held to the end, then keep every promise, last first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import msgspec
import structlog

from holdstill.errors import BackupError, HoldstillError, PluginBugError, StillHeldError
from holdstill.host import Holder
from holdstill.journal.records import Promise, last_first
from holdstill.run.orphans import commands_left
from holdstill.run.outcome import Held, Measure, MeasureName
from holdstill.run.run import Run
from holdstill.run.side_by_side import SideBySide

log = structlog.get_logger()

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.5
"Seconds between two looks who keeps things open. Of a process' end there is an event, of a file's closing none."
TRY_AGAIN = 5.0
"Seconds after which letting go is tried again though the same ones seem to keep things open."


class Failed(NamedTuple):
    """A promise that could not be kept."""

    promise: Promise
    why: str
    may_succeed: bool
    "Whether it is worth trying again soon."


def still_held_well(run: Run) -> None:
    """Raise BackupError if anything that was promised did not hold until now: the backup read garbage.

    What the plugins measured on that occasion is kept in the outcome.
    """
    with SideBySide[list[Measure]]() as asking:
        for promise in run.journal.open_promises:
            if run.plugins.implements(promise.plugin, "holdstill_still"):
                asking.start(_held_well, run, promise)
    run.outcome.measures += [measure for measures in asking.results() for measure in measures]


def _held_well(run: Run, promise: Promise) -> list[Measure]:
    try:
        found = run.plugins.call(promise.plugin, "holdstill_still", facts=promise.facts, host=run.host) or {}
    except HoldstillError as error:
        raise BackupError(f"What was backed up did not hold to the end: {promise.what}: {error}") from error
    try:
        measured = msgspec.convert(found, dict[MeasureName, float])
    except msgspec.ValidationError:
        raise PluginBugError(
            f"The plugin {promise.plugin!r} answered holdstill_still with {found!r}, not with measures by name."
        ) from None
    return [
        Measure(name=name, value=value, guest=promise.guest, what=promise.what)
        for name, value in measured.items()
    ]


def let_go(run: Run) -> None:
    """Keep all promises, waiting for whoever keeps things open, up to the run's limit; then those for afterwards.

    What remains is told in ``run.outcome.still_held``; nothing is raised.
    """
    remaining = [*_keep_at_last(run, _is_now), *_keep_afterwards(run)]
    places, holders = (run.places(), run.holders()) if remaining else ({}, ())
    run.outcome.still_held = [_held(failed, places[failed.promise.number], holders) for failed in remaining]
    for held in run.outcome.still_held:
        log.error("still held", what=held.what, why=held.why, by_hand=held.by_hand)


def _keep_afterwards(run: Run) -> list[Failed]:
    """Keep the promises for afterwards, unless a command of ours, left to itself, may still undo what they do."""
    promises = list(filter(_is_afterwards, run.journal.open_promises))
    if promises and (left := commands_left(run, os.getsid(0))):
        why = f"a command of the run is still at work (pid {left[0]})"
        return [Failed(promise, why, may_succeed=False) for promise in promises]
    return _keep_at_last(run, _is_afterwards)


def _is_now(promise: Promise) -> bool:
    return not promise.afterwards


def _is_afterwards(promise: Promise) -> bool:
    return promise.afterwards


def _held(failed: Failed, places: tuple[str, ...], holders: tuple[Holder, ...]) -> Held:
    by = [holder for holder in holders if holder.place in places]
    why = f"{failed.why}; kept open by {', '.join(map(str, by))}" if by else failed.why
    return _still_held(failed.promise, why, by)


def _still_held(promise: Promise, why: str, by: Sequence[Holder] = ()) -> Held:
    return Held(
        what=promise.what,
        by_hand=promise.by_hand,
        why=why,
        kept_open_by=list(by),
        afterwards=promise.afterwards,
    )


def _keep_at_last(run: Run, part: Callable[[Promise], bool]) -> list[Failed]:
    """Keep a part of the promises, trying again what is still in use, up to the run's limit."""
    left, pauses = run.job.release_within, _growing()
    remaining = _keep_promises(run, part)
    while (most := min(left, run.interruption.left)) > 0 and any(failed.may_succeed for failed in remaining):
        left -= _wait_for_a_change(run, pauses, most)
        remaining = _keep_promises(run, part)
    return remaining


def _wait_for_a_change(run: Run, pauses: Iterator[float], most: float) -> float:
    """Wait until others keep things open than do now, but not for ever; give how many seconds it was."""
    holders, waited = run.holders(), 0.0
    if holders:
        who = list(map(str, holders))
        log.info("kept open", by=who)
        run.journal.kept_open(who)
    pids = [holder.pid for holder in holders if holder.pid]
    while waited < min(most, TRY_AGAIN):
        waited += run.host.pause(min(next(pauses), most - waited), until=pids)
        if not holders or run.holders() != holders:
            break
    return waited


def keep_all(run: Run, why: str) -> None:
    """Undo nothing now: what is still being done would be looked for too early, and never be undone."""
    promises = last_first(run.journal.open_promises)
    run.outcome.still_held = [_still_held(promise, why) for promise in promises]
    log.error("nothing is let go of", why=why)


def _keep_promises(run: Run, part: Callable[[Promise], bool]) -> list[Failed]:
    """Try every promise of a part once, last first, several guests at once; a failure stops none of the others.

    What was promised for no guest in particular was there before, or came after, all that it is in order with.
    """
    remaining: list[Failed] = []
    wanted = filter(part, last_first(run.journal.open_promises))
    for whole, promises in groupby(wanted, key=lambda promise: not promise.guest):
        same = list(promises)
        guests = [same] if whole else [[one for one in same if one.guest == name] for name in _guests(same)]
        with SideBySide[list[Failed]]() as keeping:
            for promised in guests:
                keeping.start(_keep_in_order, run, promised)
        remaining += [failed for kept in keeping.results() for failed in kept]
    return remaining


def _guests(promises: list[Promise]) -> list[str]:
    return list(dict.fromkeys(promise.guest for promise in promises))


def _keep_in_order(run: Run, promises: list[Promise]) -> list[Failed]:
    return [failed for promise in promises if (failed := keep(run, promise))]


def keep(run: Run, promise: Promise) -> Failed | None:
    """Keep a promise; say why it is still held if it cannot be kept."""
    try:
        _undo(run, promise)
    except HoldstillError as error:
        if error.__cause__ and not isinstance(error.__cause__, HoldstillError):
            log.exception("a plugin's defect", plugin=promise.plugin, what=promise.what)
        final = isinstance(error, StillHeldError) or not run.plugins.implements(
            promise.plugin, "holdstill_undo"
        )
        return Failed(promise, str(error), may_succeed=not final)
    return None


def _undo(run: Run, promise: Promise) -> None:
    run.plugins.call(promise.plugin, "holdstill_undo", facts=promise.facts, host=run.host)
    run.journal.undone(promise)
    log.debug("let go", what=promise.what, guest=promise.guest)


def _growing() -> Iterator[float]:
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.5, LONGEST_PAUSE)
