"""What runs made that no journal knows: a journal was damaged or deleted. Found by tag, told, and left to a person."""

from __future__ import annotations

from itertools import groupby

import structlog

from holdstill.config.load import load
from holdstill.errors import HoldstillError
from holdstill.journal.shelf import State, journals_in
from holdstill.run.outcome import Failure, Held, Outcome
from holdstill.run.start import Site
from holdstill.words import RunInfo, Search, Stray

log = structlog.get_logger()

WHY = "no journal of this host knows of it; «holdstill held --strays» tells how to let go, if nobody else needs it"


def strays(site: Site) -> tuple[list[Stray], list[Failure]]:
    """Find strays, in the order in which they are let go of, and why some could not be looked for.

    It is looked twice, and what is there both times counts: a run may begin, or end, during a look.
    """
    first, _ = _look(site)
    again, failures = _look(site)
    return [stray for stray in again if stray in first], failures


def stray_outcomes(site: Site) -> list[Outcome]:
    """Tell of strays as of what is still held, run by run; of nothing if there are none."""
    found, failures = strays(site)
    outcomes = [Outcome(run="", job="", session="", failures=failures)] if failures else []
    for stray in found:
        log.error("a stray", what=stray.what, run=stray.run, by_hand=stray.by_hand)
    for run, its in groupby(sorted(found, key=lambda stray: stray.run), key=lambda stray: stray.run):
        held = [Held(what=stray.what, by_hand=stray.by_hand, why=WHY) for stray in its]
        outcomes.append(Outcome(run=run, job="", session="", still_held=held))
    return outcomes


def was_damaged(site: Site) -> bool:
    """Tell whether a damaged journal is there: of what is still held, or kept until somebody removes it."""
    stories = [held.story for held in site.holds() if not held.story.newer]
    still_held = any(story.damage and story.open for story in stories)
    return still_held or any(journals_in(site.places.state).glob("*.damaged"))


def _look(site: Site) -> tuple[list[Stray], list[Failure]]:
    search, found, failures = _search(site), dict[Stray, None](), []
    for plugin in site.plugins.having("holdstill_strays"):
        try:
            more = site.plugins.asked(plugin, "holdstill_strays", list[Stray], search=search, host=site.host)
            found |= dict.fromkeys(more)
        except HoldstillError as error:
            log.warning("strays cannot be looked for", plugin=plugin, why=str(error))
            failures.append(Failure.of("strays", error))
    return sorted(found, key=lambda stray: stray.layer), failures


def _search(site: Site) -> Search:
    """Say what is known: of a damaged journal nothing, unless its run lives or is of a newer holdstill."""
    known = [
        held.story.header or RunInfo(id=held.run, job="", session="", trees="")
        for held in site.holds()
        if not held.story.damage or held.story.newer or held.state is State.LIVING
    ]
    runs = tuple(RunInfo(id=one.id, job=one.job, session=one.session, trees=one.trees) for one in known)
    return Search(runs=runs, disks=_disks(site), trees=str(site.places.trees))


def _disks(site: Site) -> tuple[str, ...]:
    try:
        config, _, _ = load(site.places.config)
    except HoldstillError:
        return ()
    return tuple(dict.fromkeys(disk for guest in config.guests.values() if guest for disk in guest.disks))
