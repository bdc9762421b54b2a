"""Runs without a journal: they hold nothing, as they only pretend, or could not even begin."""

from __future__ import annotations

import msgspec

from holdstill.host import Host
from holdstill.journal.records import Promise
from holdstill.run.job import Job
from holdstill.run.run import Run
from holdstill.run.start import Site
from holdstill.words import Promised, RunInfo


class _Unwritten:
    """Promises that nobody relies on."""

    def __init__(self) -> None:
        self.open_promises: tuple[Promise, ...] = ()
        self._made = 0

    def promise(self, made: Promise) -> Promise:
        self._made += 1
        record = msgspec.structs.replace(made, number=self._made)
        self.open_promises = (*self.open_promises, record)
        return record

    def undone(self, promise: Promised) -> None:
        self.open_promises = tuple(one for one in self.open_promises if one.number != promise.number)

    def kept_open(self, by: list[str]) -> None:
        del by


def unwritten(site: Site, info: RunInfo, job: Job, host: Host) -> Run:
    """Give a run without a journal."""
    run = Run(
        info=info,
        host=host,
        plugins=site.plugins,
        journal=_Unwritten(),
        job=job,
        interruption=site.interruption,
        state=site.places.state,
    )
    run.outcome.started = site.now().clock
    return run
