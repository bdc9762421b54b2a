"""Trials: whole jobs on a modelled machine, with faults at any point, and what is left of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from holdstill.journal.records import last_first
from holdstill.journal.shelf import Held, holds
from holdstill.places import Places
from holdstill.plugins.load import Found, find
from holdstill.plugins.registry import Registry
from holdstill.run import conduct, recover
from holdstill.run.lifecycle import CORE
from holdstill.run.limit import limited
from holdstill.run.outcome import CallerVerdict, Outcome
from holdstill.run.plan import Plan, plan
from holdstill.run.start import Site, new_info, resolve
from holdstill.testing.faults import OF_QUESTIONS, Fault, Kind
from holdstill.testing.machine import Machine

NO_DROP_INS = Path("/nonexistent")


class Trial:
    """A machine with a configuration, on which jobs are run."""

    def __init__(self, machine: Machine, configuration: str, plugins: tuple[Found, ...] = ()) -> None:
        root = machine.root
        self.machine = machine
        self.places = Places(
            config=root / "holdstill.yaml",
            state=root / "state",
            trees=root / "trees",
            plugins=root / "plugins",
        )
        self.places.config.write_text(configuration)
        self.places.config.chmod(0o600)
        self.places.trees.mkdir()
        self._registry = _registry(
            self.places.plugins if self.places.plugins.exists() else NO_DROP_INS, plugins
        )
        self._saved = root / "kernel"
        self.before = self.state()

    @property
    def site(self) -> Site:
        """The modelled machine, as a process of holdstill finds it."""
        return Site(
            places=self.places,
            host=self.machine,
            plugins=self._registry,
            interruption=self.machine.interruption,
            boot=self.machine.boot,
        )

    def state(self) -> dict[str, Any]:
        """What a run could leave behind on the machine."""
        return self.machine.state(self.places.state, self._saved, self.machine.root / "archives")

    def run(self, job: str = "nightly") -> Outcome:
        """Do a whole job."""
        return conduct.run_job(self.site, new_info(self.site, job))

    def pre(self, job: str = "nightly", session: str = "default", *, within: float | None = None) -> Outcome:
        """Do a job's first half, for a caller that gives us so many modelled seconds."""
        with limited(self.site, job, within):
            return conduct.pre(self.site, new_info(self.site, job, session)).outcome

    def post(
        self,
        job: str = "nightly",
        session: str = "default",
        verdict: CallerVerdict = CallerVerdict.UNKNOWN,
    ) -> list[Outcome]:
        """Do a job's second half."""
        return recover.post(self.site, job, session, verdict)

    def plan(self, job: str = "nightly") -> Plan:
        """Say what a job would do."""
        info = new_info(self.site, job)
        return plan(self.site, info, resolve(self.site, info))

    def recover(self) -> list[Outcome]:
        """Finish what dead runs left."""
        return recover.recover(self.site)

    def recover_in_passing(self) -> None:
        """Try once to finish what dead runs left, as another job does before it begins."""
        recover.clear_the_way(self.site, new_info(self.site, "another"))

    def held(self) -> list[str]:
        """What the journals say is held."""
        return [promise.what for held in self._holds() for promise in held.story.open]

    def undo_all(self) -> None:
        """Undo every promise that the journals know, last first, kept already or not; change no journal."""
        for held in self._holds():
            for promise in last_first(held.story.promises):
                self._registry.call(promise.plugin, "holdstill_undo", facts=promise.facts, host=self.machine)

    def _holds(self) -> Iterator[Held]:
        return holds(self.places.state, self.machine.boot)

    def in_another_process(self, part: Callable[[Trial], object], fault: Fault | None = None) -> int:
        """Do ``part`` in a process of its own, which dies where ``fault`` says; give its exit code.

        A real process, so that nothing of it goes on: no ``finally``, no lock that outlives it.
        """
        self.machine.commands.clear()
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            self.machine.restore(self._saved)
            return os.waitstatus_to_exitcode(status)
        self.machine.fault, self.machine.on_death = fault, lambda: self._leave(9)
        try:
            part(self)
        finally:
            self._leave(0)
        raise AssertionError("a process that has left goes on")  # for the type checker: it cannot

    def _leave(self, code: int) -> None:
        self.machine.save(self._saved)
        os._exit(code)


def every_point(
    new_trial: Callable[[], Trial], part: Callable[[Trial], object], kinds: Sequence[Kind] = tuple(Kind)
) -> Iterator[Fault]:
    """Give a fault of every kind at every command that ``part`` runs on a new trial.

    At a question, only of those kinds that differ there.
    """
    trial = new_trial()
    part(trial)
    for number in range(len(trial.machine.commands)):
        for kind in kinds:
            if number not in trial.machine.questions or kind in OF_QUESTIONS:
                yield Fault(number, kind)


def trial_in(folder: Path, configuration: str, prepare: Callable[[Machine], None], **machine: bool) -> Trial:
    """Make a machine in a new folder, let ``prepare`` give it its disks, and a configuration.

    ``{root}`` in the configuration stands for the machine's folder.
    """
    folder.mkdir(parents=True)
    made = Machine(folder, **machine)
    prepare(made)
    return Trial(made, configuration.replace("{root}", str(folder)))


@cache
def _registry(drop_ins: Path, plugins: tuple[Found, ...]) -> Registry:
    """Find plugins, the same ones once: that takes longer than a run. Those that are given replace installed ones."""
    given = {found.name for found in plugins}
    others = (found for found in find(drop_ins) if found.name not in given)
    return Registry((CORE, *plugins, *others))
