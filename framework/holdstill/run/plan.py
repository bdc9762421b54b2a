"""Say what a run would do, command by command, on the devices as they are now; change nothing."""

from __future__ import annotations

import msgspec

from holdstill.errors import NotPlannableError
from holdstill.host.planning import PlanningHost
from holdstill.journal.records import last_first
from holdstill.run.backup import backup
from holdstill.run.expose import make_snapshots, open_step, ready
from holdstill.run.folders import leave_note, make_job_folder
from holdstill.run.job import Job
from holdstill.run.run import Ready, Run
from holdstill.run.start import Site
from holdstill.run.unwritten import unwritten
from holdstill.words import Exposed, RunInfo, Sources, Tree


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do. Each line is one for root's shell."""

    run: RunInfo
    expose: list[str]
    backup: list[str]
    release: list[str]
    around: list[str]
    "What plugins around the job would do, and when."
    unknown: list[str]
    "What can be known only while it is done; empty if the plan is complete."


def pretend(site: Site, info: RunInfo, job: Job) -> Run:
    """Give a run that changes nothing."""
    return unwritten(site, info, job, PlanningHost(site.host))


def plan(site: Site, info: RunInfo, job: Job) -> Plan:
    """Plan a run of ``job``."""
    run = pretend(site, info, job)
    host = run.host
    assert isinstance(host, PlanningHost)
    make_job_folder(run)
    unknown = [word for group in ready(run) for word in _plan_group(run, host, group)]
    leave_note(run)
    exposing = host.take()
    backup(run)
    return Plan(
        run=info,
        expose=exposing,
        backup=host.take(),
        release=[promise.by_hand for promise in last_first(run.journal.open_promises)],
        around=_plan_around(run),
        unknown=unknown,
    )


def _plan_around(run: Run) -> list[str]:
    planned = [step for step in run.job.around if run.plugins.implements(step.plugin, "holdstill_plan")]
    return [f"{step.plugin}: {line}" for step in planned for line in run.call(step, "holdstill_plan")]


def _plan_group(run: Run, host: PlanningHost, group: list[Ready]) -> list[str]:
    """Plan to expose guests that are held at one moment; say what of them can be known only while it is done."""
    for step in [step for held in group for step in held.guest.quiesce]:
        host.note(f"{step.title}, around the snapshot")  # entered, it would quiesce: that is not planned
    disks = [disk.path for held in group for disk in held.guest.snapshot.disks]
    if len(disks) > 1:
        host.note(f"frozen together while their snapshots are made: {', '.join(disks)}")
    return [word for held in group if (word := _plan_guest(run, host, held))]


def _plan_guest(run: Run, host: PlanningHost, held: Ready) -> str:
    unknown, guest = "", held.guest
    try:
        sources = _plan_snapshots(run, host, held)
        for step in guest.open:
            sources = open_step(run, step, sources)
            _imagine(host, sources)
    except NotPlannableError as error:
        unknown = f"guest {guest.name}: {error}."
        sources = (Tree(guest=guest.name, path=run.info.tree(guest.name)),)
    run.exposed = (*run.exposed, Exposed(guest=guest.name, sources=sources))
    return unknown


def _plan_snapshots(run: Run, host: PlanningHost, held: Ready) -> Sources:
    snapshots = make_snapshots(run, held)
    for made, disk in zip(snapshots, held.guest.disks, strict=True):
        host.imagine(made.path, shows=disk)
        host.imagine(made.store, shows=disk)
    return snapshots


def _imagine(host: PlanningHost, sources: Sources) -> None:
    for source in sources:
        if not host.imagined(source.path) and not host.look(source.path):
            host.imagine(source.path)
