"""How long each hook takes, by a modelled machine's clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdstill.hookspecs import PHASE_HOOKS
from holdstill.plugins.overseer import LIMIT, LIMITS, Overseer
from holdstill.testing.machine import Machine
from holdstill.testing.trial import Trial


class Timekeeper(Overseer):
    """Knows who was at work for longer than it may; gives nobody up."""

    def __init__(self, machine: Machine) -> None:
        super().__init__()
        self.late: list[str] = []
        "A sentence for each."
        self._machine = machine

    @contextmanager
    def watching(
        self, who: str, hook: str, limit: float | None = None, *, longer: float = 0
    ) -> Iterator[None]:
        """See :meth:`holdstill.plugins.overseer.Overseer.watching`."""
        may = LIMITS.get(hook, LIMIT) + longer if limit is None else limit
        began = self._machine.spent
        try:
            with super().watching(who, hook, limit, longer=longer):
                yield
        finally:
            took = self._machine.spent - began
            if (
                took > may and hook not in PHASE_HOOKS
            ):  # in a phase others are at work, within limits of their own
                self.late.append(f"{who} is in {hook} for {took:g} s, and may be for {may:g} s.")


@contextmanager
def timed(trial: Trial) -> Iterator[list[str]]:
    """Give who is at work for longer than it may inside, a sentence for each."""
    plugins = trial.site.plugins
    before, plugins.overseer = plugins.overseer, Timekeeper(trial.machine)
    try:
        yield plugins.overseer.late
    finally:
        plugins.overseer = before
