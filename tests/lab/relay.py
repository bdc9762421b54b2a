"""The pytest inside, seen from outside: one process runs all tests, and reports are handed out by name."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from .channel import Message
from .commands import LabError
from .machine import Machine
from .scenarios.campaign import CAMPAIGN, SEED

Report = dict[str, Any]
PYTEST = [
    "/usr/bin/env",
    "PYTHONPATH=/lab/tests/lab/agent",
    f"HOLDSTILL_CAMPAIGN={'1' if CAMPAIGN else ''}",
    f"HOLDSTILL_SEED={SEED}",
    "/bin/sh",
    "/lab/tests/lab/agent/pytest.sh",
    "-p",
    "lab_events",
]
# Importing pytest and every scenario, in emulation, on a machine with other work.
FIRST_NEWS_WITHIN = 600.0
OPTIONS = ["-v", "--no-header", "--no-summary", "--color=no", "--continue-on-collection-errors"]
STATUSES_OF_PYTEST = range(6)
KERNEL_LINE = re.compile(r"^\[ *\d+\.\d+\] .*", re.MULTILINE)


class Relay:
    """Runs tests in a machine, with a new machine for the rest when one of them hangs it."""

    def __init__(self, new_machine: Callable[[], Machine], limits: Mapping[str, float]) -> None:
        self._new_machine = new_machine
        self._limits = limits
        self._machine: Machine | None = None
        self._running = ""
        self._console_at_start = 0
        self._reports: defaultdict[str, list[Report]] = defaultdict(list)
        self._done: set[str] = set()
        self._lost: dict[str, str] = {}
        self._problems: list[str] = []
        self._over = ""
        self._first_not_run = ""

    def reports(self, test: str) -> list[Report]:
        """Wait for what the machine reports of ``test``; raise a LabError that says why there is nothing."""
        while test not in self._done:
            if why := self._lost.get(test) or self._why_over(test):
                raise LabError(why)
            self._follow()
        return self._reports.pop(test, [])

    def _why_over(self, test: str) -> str:
        """Say at length why nothing more is run, but only once."""
        if self._over and not self._first_not_run:
            self._first_not_run = test
            return self._over
        return self._over and f"Not run, for the same reason as {self._first_not_run}."

    def _follow(self) -> None:
        try:
            machine = self._machine or self._begin()
            limit = self._limits[self._running] if self._running else FIRST_NEWS_WITHIN
            self._note(machine.receive(limit), machine)
        except TimeoutError:
            self._lose(f"Nothing was heard from the machine for {limit:.0f} s")
        except EOFError:
            self._lose("The machine went away")
        except LabError as error:
            self._over = str(error)

    def _begin(self) -> Machine:
        self._machine = machine = self._new_machine()
        machine.boot()
        left = [test for test in self._limits if test not in self._done and test not in self._lost]
        # Files and a choice among their tests: named by itself, one that cannot be imported would stop all.
        files = dict.fromkeys(test.partition("::")[0] for test in left)
        choice = [word for test in left for word in (f"--wanted={test}", f"--deadline={self._limits[test]}")]
        machine.send({"argv": [*PYTEST, *OPTIONS, *choice, *files], "watched": True})
        return machine

    def _note(self, news: Message, machine: Machine) -> None:
        match news:
            case {"started": test}:
                self._running = test
                self._console_at_start = len(machine.console())
            case {"report": report, "test": test}:
                self._reports[test].append(self._with_kernel_lines(report, machine))
            case {"ended": test}:
                self._running = ""
                self._finish(test)
            case {"problem": text}:
                self._problems.append(text)
            case {"status": status}:
                self._ended(status)

    def _finish(self, test: str) -> None:
        self._done.add(test)
        if self._done.union(self._lost).issuperset(self._limits):
            self._stop()

    def _with_kernel_lines(self, report: Report, machine: Machine) -> Report:
        if report["outcome"] == "failed":
            lines = KERNEL_LINE.findall(machine.console()[self._console_at_start :])
            report["sections"] += [["What the kernel said", "\n".join(lines)]] if lines else []
        return report

    def _ended(self, status: int) -> None:
        if status not in STATUSES_OF_PYTEST:
            self._lose(f"The pytest inside ended with status {status}")
        else:
            why = f"The pytest inside ended with status {status} and did not run this."
            self._over = "\n".join([why, *self._problems, self._console_end()])

    def _lose(self, why: str) -> None:
        """Give up this machine, and on the test that was running; the tests after it get a new machine."""
        during = f" while it ran {self._running}" if self._running else " before it ran anything"
        told = f"{why}{during}.\n{self._console_end()}"
        if self._running:
            self._lost[self._running] = told
        else:
            self._over = told
        self._stop()

    def _console_end(self) -> str:
        return self._machine.console_end() if self._machine else ""

    def _stop(self) -> None:
        if self._machine:
            self._machine.cut_power()
        self._machine = None
        self._running = ""
