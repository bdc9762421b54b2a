"""Hold every guest still, and open what was held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from holdstill.errors import HoldstillError, NotPlannableError, PluginBugError
from holdstill.run.disks import looked_at
from holdstill.run.folders import leave_note, make_job_folder
from holdstill.run.job import Guest
from holdstill.run.prepare import by_plugin
from holdstill.run.quiet import Quiet
from holdstill.run.run import Ready, Run
from holdstill.run.side_by_side import SideBySide
from holdstill.run.step_error import StepError
from holdstill.words import Device, Exposed, MakeSnapshots, Sources, Step, Tree

log = structlog.get_logger()

COPYING = 24 * 3600.0
"Seconds that a disk may take besides, when its snapshot is made: it may be a copy, whose command has this deadline."

Group = tuple[Guest, ...]


def expose(run: Run) -> None:
    """Expose all guests of the run.

    They are held one group after the other, so that nothing of ours makes a quiet guest wait; meanwhile
    those that are held already are opened, several at once.
    """
    make_job_folder(run)
    with SideBySide[Exposed]() as opening:
        for group in run.ready:
            _expose_group(run, group, opening)
    run.exposed = opening.results()
    leave_note(run)


def _expose_group(run: Run, group: list[Ready], opening: SideBySide[Exposed]) -> None:
    if opening.failed:
        return
    for held, snapshots in zip(group, hold_still(run, group), strict=True):
        opening.start(_open, run, held.guest, snapshots)


def ready(run: Run) -> list[list[Ready]]:
    """Look at all that is to be held, so that nothing is left to look at when a guest is quiet."""
    groups = [[looked_at(run.host, guest) for guest in group] for group in run.job.groups]
    steps = [guest.snapshot for group in groups for guest in group]
    makers = {name: maker for same in by_plugin(steps).values() for name, maker in _makers(run, same).items()}
    return [[Ready(guest, makers[guest.name]) for guest in group] for group in groups]


def _makers(run: Run, steps: tuple[Step[Any], ...]) -> dict[str, MakeSnapshots]:
    """Ask one plugin to get ready for all its guests; give what makes the snapshots of each."""
    plugin = steps[0].plugin
    made = _step(steps[0], lambda: run.plugins.call(plugin, "holdstill_snapshot", steps=steps, host=run.host))
    if not isinstance(made, tuple) or len(made) != len(steps):
        raise PluginBugError(
            f"The plugin {plugin!r} got ready for {made!r}, not for each of its {len(steps)} steps."
        )
    return {step.guest: maker for step, maker in zip(steps, made, strict=True)}


def hold_still(run: Run, group: list[Ready]) -> list[tuple[Device, ...]]:
    """Quiesce, snapshot, thaw: the application is quiet for the snapshots only."""
    with Quiet(run, [held.guest for held in group]):
        return [make_snapshots(run, held) for held in group]


def make_snapshots(run: Run, held: Ready) -> tuple[Device, ...]:
    """Make the snapshots of one guest."""
    step = held.guest.snapshot
    with run.plugins.overseer.watching(step.title, "holdstill_snapshot", longer=COPYING * len(step.disks)):
        snapshots: tuple[Device, ...] = _step(step, lambda: held.make(run.hold(step.plugin, held.guest.name)))
    _expect(step, snapshots, Device)
    if len(snapshots) != len(step.disks):
        raise PluginBugError(f"{step.title}: it made {len(snapshots)} snapshots of {len(step.disks)} disks.")
    log.info("snapshot made", guest=step.guest, step=step.plugin, disks=[disk.path for disk in step.disks])
    return snapshots


def _open(run: Run, guest: Guest, snapshots: tuple[Device, ...]) -> Exposed:
    sources: Sources = snapshots
    for step in guest.open:
        sources = open_step(run, step, sources)
    log.info("opened", guest=guest.name, sources=[source.path for source in sources])
    return Exposed(guest=guest.name, sources=sources, kept=tuple(run.kept.get(guest.name, ())))


def open_step(run: Run, step: Step[Any], sources: Sources) -> Sources:
    """Take one step further into a guest's disks."""
    hold = run.hold(step.plugin, step.guest)
    opened: Sources = _step(step, lambda: run.call(step, "holdstill_open", sources=sources, hold=hold))
    _expect(step, opened, Device | Tree)
    return opened


def _step(step: Step[Any], part: Callable[[], Any]) -> Any:
    try:
        return part()
    except NotPlannableError:
        raise
    except HoldstillError as error:
        raise StepError(step, error) from error


def _expect(step: Step[Any], answer: object, wanted: Any) -> None:
    if not isinstance(answer, tuple) or not all(isinstance(source, wanted) for source in answer):
        raise PluginBugError(f"{step.title}: the plugin answered {answer!r}, not a tuple of sources.")
