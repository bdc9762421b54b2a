"""Look, change nothing, and complain of everything at once."""

from __future__ import annotations

from holdstill.errors import ExitCode, HoldstillError
from holdstill.run.disks import complaints_about, origin
from holdstill.run.job import Guest
from holdstill.run.run import Run
from holdstill.words import Complaint


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
    for guest in run.job.guests:
        found += _about_guest(run, guest)
    for step in (*([run.job.backup] if run.job.backup else []), *run.job.verify):
        if run.plugins.implements(step.plugin, "holdstill_check"):
            found += run.call(step, "holdstill_check", disks=()) or []
    return list(dict.fromkeys(found))


def _about_guest(run: Run, guest: Guest) -> list[Complaint]:
    in_the_way = complaints_about(run.host, guest)
    if in_the_way:
        return in_the_way
    disks = tuple(origin(run.host, guest, number) for number in range(len(guest.disks)))
    found: list[Complaint] = []
    for step in guest.steps:
        if run.plugins.implements(step.plugin, "holdstill_check"):
            found += run.call(step, "holdstill_check", disks=disks) or []
    return found
