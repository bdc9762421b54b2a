"""Hold every guest still, and open what was held."""

from __future__ import annotations

import time
from typing import Any

import structlog

from holdstill.errors import ExitCode, HoldstillError, NotPlannableError, PluginBugError
from holdstill.run.disks import origin
from holdstill.run.folders import leave_note, make_job_folder
from holdstill.run.job import Guest
from holdstill.run.quiet import Quiet
from holdstill.run.run import Run
from holdstill.words import Device, Exposed, Role, Sources, Step, Tree

log = structlog.get_logger()


class StepError(HoldstillError):
    """A step failed."""

    def __init__(self, step: Step[Any], error: HoldstillError) -> None:
        self.code = (
            ExitCode.SNAPSHOT if step.role is Role.SNAPSHOT and error.code is ExitCode.OS else error.code
        )
        super().__init__(f"{step.title}: {error}")


def expose(run: Run) -> None:
    """Expose all guests of the run, one after the other."""
    make_job_folder(run)
    for guest in run.job.guests:
        sources: Sources = snapshot(run, guest)
        for step in guest.open:
            sources = open_step(run, step, sources)
        run.exposed = (*run.exposed, Exposed(guest=guest.name, sources=sources))
        log.info("opened", guest=guest.name, sources=[source.path for source in sources])
    leave_note(run)


def snapshot(run: Run, guest: Guest) -> tuple[Device, ...]:
    """Quiesce, snapshot, thaw: the application is quiet for the snapshot only."""
    disks = tuple(origin(run.host, guest, number) for number in range(len(guest.disks)))
    began = time.monotonic()
    with Quiet(run, guest):
        snapshots: tuple[Device, ...] = _step(
            run,
            guest.snapshot,
            "holdstill_snapshot",
            disks=disks,
            hold=run.hold(guest.snapshot.plugin, guest.name),
        )
    run.outcome.quiet_seconds[guest.name] = time.monotonic() - began
    _expect(guest.snapshot, snapshots, Device)
    if len(snapshots) != len(disks):
        raise PluginBugError(
            f"{guest.snapshot.title}: it made {len(snapshots)} snapshots of {len(disks)} disks."
        )
    log.info(
        "snapshot made", guest=guest.name, step=guest.snapshot.plugin, disks=[disk.path for disk in disks]
    )
    return snapshots


def open_step(run: Run, step: Step[Any], sources: Sources) -> Sources:
    """Take one step further into a guest's disks."""
    opened: Sources = _step(
        run, step, "holdstill_open", sources=sources, hold=run.hold(step.plugin, step.guest)
    )
    _expect(step, opened, Device | Tree)
    return opened


def _step(run: Run, step: Step[Any], hook: str, **arguments: Any) -> Any:
    try:
        return run.call(step, hook, **arguments)
    except NotPlannableError:
        raise
    except HoldstillError as error:
        raise StepError(step, error) from error


def _expect(step: Step[Any], answer: object, wanted: Any) -> None:
    if not isinstance(answer, tuple) or not all(isinstance(source, wanted) for source in answer):
        raise PluginBugError(f"{step.title}: the plugin answered {answer!r}, not a tuple of sources.")
