"""Look, change nothing, and complain of everything at once."""

from __future__ import annotations

from typing import Any

from holdstill.errors import ExitCode, HoldstillError
from holdstill.run.disks import complaints_about, looked_at
from holdstill.run.job import Guest
from holdstill.run.run import Run
from holdstill.words import Complaint, Step


class NotReadyError(HoldstillError):
    """A job cannot be run now. Nothing was changed."""

    def __init__(self, complaints: list[Complaint]) -> None:
        self.complaints = complaints
        known = {code.value for code in ExitCode}
        self.code = ExitCode(complaints[0].code if complaints[0].code in known else ExitCode.UNAVAILABLE)
        super().__init__(" ".join(complaint.sentence for complaint in complaints))


def look(run: Run) -> None:
    """Raise NotReadyError with all that is in the way of this run."""
    if complaints := complaints_of(run):
        raise NotReadyError(complaints)


def complaints_of(run: Run) -> list[Complaint]:
    """Give all that is in the way of this run."""
    found: list[Complaint] = []
    steps: list[Step[Any]] = []
    for guest in run.job.guests:
        in_the_way = complaints_about(run.host, guest)
        found += in_the_way
        steps += looked_at(run.host, guest).steps if not in_the_way else ()
    steps += [*([run.job.backup] if run.job.backup else []), *run.job.verify, *run.job.around]
    for plugin, same in by_plugin(steps).items():
        if run.plugins.implements(plugin, "holdstill_check"):
            kind = list[Complaint] | None
            found += run.plugins.asked(plugin, "holdstill_check", kind, steps=same, host=run.host) or []
    found += [complaint for group in run.job.groups for complaint in _torn(run, group)]
    return list(dict.fromkeys(found))


def by_plugin(steps: list[Step[Any]]) -> dict[str, tuple[Step[Any], ...]]:
    """Give the steps of each plugin, the plugins in the order in which they are first named."""
    names = dict.fromkeys(step.plugin for step in steps)
    return {name: tuple(step for step in steps if step.plugin == name) for name in names}


def _torn(run: Run, group: tuple[Guest, ...]) -> list[Complaint]:
    """Complain of disks that must be of one moment and are held by a plugin that cannot do that."""
    disks = sum(len(guest.disks) for guest in group)
    plugins = sorted({guest.snapshot.plugin for guest in group})
    names = ", ".join(guest.name for guest in group)
    return [
        Complaint(
            f"{names}: {disks} disks must be held at one moment, which the plugin {plugin!r} cannot do.",
            ExitCode.SNAPSHOT,
        )
        for plugin in plugins
        if disks > 1 and not run.plugins.implements(plugin, "holdstill_freeze")
    ]
