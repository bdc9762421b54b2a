"""Scenarios are collected here as ordinary tests, run in the lab's machine, and reported here one by one.

``HOLDSTILL_LAB=required`` makes a failure of what would be a skip. ``HOLDSTILL_LAB_ACCEL`` is ``kvm`` or
``tcg``. ``HOLDSTILL_LAB_DEADLINE`` is how many seconds the machine may say nothing while a scenario runs.
``HOLDSTILL_LAB_SHARE`` of 4 runs a quarter of each file's tests with a machine, drawn by the seed.
``HOLDSTILL_LAB_MACHINES`` is how many machines run scenarios at the same time, if they can: two if it is not set.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import Any, Literal

import pytest

from .commands import LabError
from .kinds import KINDS, PLAIN, Kind
from .lab import CHECKOUT, Lab
from .machine import Machine
from .needs import lacking
from .relay import Relay, Report
from .scenarios.campaign import SEED, rng

Outcome = Literal["failed", "skipped"]
Work = tuple[Relay, dict[str, Future[list[Report]]]]

SCENARIOS = Path(__file__).parent / "scenarios"
DEADLINE = float(os.environ.get("HOLDSTILL_LAB_DEADLINE", "1200"))
SHARE = int(os.environ.get("HOLDSTILL_LAB_SHARE", "1"))
AT_ONCE = int(os.environ.get("HOLDSTILL_LAB_MACHINES", "2"))
"How many machines work at the same time, if they can: in emulation, each has work for a processor."
LONG = {"test_backups.py": 500, "test_postgresql.py": 200}
"Seconds that some files take, whatever is drawn of them, so that the lanes end together; others, so many a scenario:"
SHORT = 40


class Outside:
    """The session's lab, and what runs in its machines from the beginning on, several at a time."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._told: dict[str, Future[list[Report]]] = {}
        self.lab = Lab(self._tell)

    def begin(self) -> None:
        """Have all scenarios run, those of a file one after the other in one machine, the longest files first."""
        files: dict[Path, list[pytest.Item]] = {}
        for item in filter(_is_scenario, self._session.items):
            files.setdefault(_together(item), []).append(item)
        lanes: list[list[list[pytest.Item]]] = [[] for _ in range(_free_processors(self._session.items))]
        for items in sorted(files.values(), key=_seconds, reverse=True):
            min(lanes, key=lambda lane: sum(map(_seconds, lane))).append(items)
        work = [[self._machine_for(kind, lane) for kind in KINDS.values()] for lane in lanes]
        pool = ThreadPoolExecutor(len(lanes))
        for lane_work in work:
            pool.submit(_run, lane_work)

    def _machine_for(self, kind: Kind, lane: list[list[pytest.Item]]) -> Work:
        """Give what one machine of a kind has to do."""
        items = [item for items in lane if _kind(items[0]) == kind for item in items]
        limits = {_name_inside(item): _deadline(item) for item in items}
        told = {test: Future[list[Report]]() for test in limits}
        self._told |= told
        return Relay(partial(self.lab.machine, kind, flushed=False), limits), told

    def reports(self, test: str) -> list[Report]:
        """Wait for what a machine reports of ``test``; raise a LabError that says why there is nothing."""
        if not self._told:
            self.begin()
        return self._told[test].result()

    def _tell(self, text: str) -> None:
        terminal = self._session.config.pluginmanager.get_plugin("terminalreporter")
        if terminal:
            terminal.ensure_newline()
            terminal.write_line(f"lab: {text}")


def _run(lane: list[Work]) -> None:
    """Have one machine after the other run its scenarios; note what it reports of each, or why there is nothing."""
    for relay, told in lane:
        for test, future in told.items():
            try:
                future.set_result(relay.reports(test))
            except LabError as error:
                future.set_exception(error)
            except Exception as error:  # somebody waits for this test, whatever went wrong
                future.set_exception(LabError(f"The lab has a defect: {error!r}"))


OUTSIDE = pytest.StashKey[Outside]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the lab's markers known."""
    config.addinivalue_line("markers", "lab: runs in a machine of the lab, or with one")
    config.addinivalue_line("markers", "deadline(seconds): how long the machine may say nothing in this test")


def pytest_report_collectionfinish() -> str:
    """Say what repeats the random tests of this run: not in the header, which shows only what named folders say."""
    return f"lab: the random tests are repeated by HOLDSTILL_SEED={SEED}"


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let ``-m 'not lab'`` leave the machine off."""
    if _is_scenario(item) or "lab_machine" in getattr(item, "fixturenames", ()):
        item.add_marker("lab")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave off what is not in this run's sample; put what is only waited for behind what can be done meanwhile."""
    sample = _sample(items)
    config.hook.pytest_deselected(items=[item for item in items if item not in sample])
    items[:] = sorted(
        sample, key=lambda item: (_is_scenario(item), "lab_machine" in getattr(item, "fixturenames", ()))
    )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> bool | None:
    """Take a scenario's reports from inside, where pytest would have run it here."""
    if not _is_scenario(item):
        return None
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Have the machines begin before the first test outside: they take the longest."""
    if any(map(_is_scenario, session.items)) and not lacking() and not session.config.option.collectonly:
        _outside(session).begin()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have measured: no test depends on it, so somebody should see it."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {name}: {value}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave no machine behind."""
    if OUTSIDE in session.stash:
        session.stash[OUTSIDE].lab.close()


@pytest.fixture
def lab_machine(request: pytest.FixtureRequest) -> Iterator[Machine]:
    """Give a freshly booted machine to a test that stays outside, to cut its power for example."""
    if why := lacking():
        _refuse(why)
    machine = _outside(request.session).lab.machine()
    machine.boot()
    yield machine
    machine.cut_power()


def _reports(item: pytest.Item) -> list[pytest.TestReport]:
    if why := lacking():
        return [_not_run(item, why)]
    try:
        told = _outside(item.session).reports(_name_inside(item))
    except LabError as error:
        return [_report(item, "failed", str(error))]
    return [_as_reported(item, data) for data in told]


def _as_reported(item: pytest.Item, data: dict[str, Any]) -> pytest.TestReport:
    hook = item.config.hook
    report: pytest.TestReport = hook.pytest_report_from_serializable(config=item.config, data=data)
    report.nodeid, report.location = item.nodeid, item.location
    if isinstance(report.longrepr, list):
        # Where and why a test was skipped: a tuple before it was JSON, and a path inside.
        path, line, why = report.longrepr
        report.longrepr = (str(CHECKOUT / Path(path).relative_to("/lab")), line, why)
    return report


def _not_run(item: pytest.Item, why: str) -> pytest.TestReport:
    if _is_required():
        return _report(item, "failed", why)
    # All from one place, so that the summary says it once.
    here = (__file__, _not_run.__code__.co_firstlineno)
    return _report(item, "skipped", (*here, f"Skipped: {why}"))


def _report(item: pytest.Item, outcome: Outcome, text: str | tuple[str, int, str]) -> pytest.TestReport:
    when: Literal["setup", "call"] = "call" if outcome == "failed" else "setup"
    return pytest.TestReport(item.nodeid, item.location, {}, outcome, text, when)


def _refuse(why: str) -> None:
    if _is_required():
        pytest.fail(why)
    pytest.skip(why)


def _is_required() -> bool:
    return os.environ.get("HOLDSTILL_LAB") == "required"


def _outside(session: pytest.Session) -> Outside:
    if OUTSIDE not in session.stash:
        session.stash[OUTSIDE] = Outside(session)
    return session.stash[OUTSIDE]


def _sample(items: list[pytest.Item]) -> list[pytest.Item]:
    """Draw each file's share of what needs a machine, one of them at least; all else is in every run."""
    drawn: list[pytest.Item] = []
    for path, of_a_file in groupby(items, key=lambda item: item.path):
        those = list(of_a_file)
        share = ceil(len(those) / SHARE) if those[0].get_closest_marker("lab") else len(those)
        chosen = rng("share", path.name).sample(range(len(those)), share)
        drawn += [those[number] for number in sorted(chosen)]
    return drawn


def _free_processors(items: list[pytest.Item]) -> int:
    """Tell how many processors the machines may have: the tests outside, if there are others, need one as well."""
    others = any(not item.get_closest_marker("lab") for item in items)
    return max(1, min(AT_ONCE, (os.cpu_count() or 1) - others))


def _is_scenario(item: pytest.Item) -> bool:
    return SCENARIOS in item.path.parents


def _kind(item: pytest.Item) -> Kind:
    """Tell which machine a scenario runs in: a folder among the scenarios is named as its kind."""
    return KINDS.get(item.path.relative_to(SCENARIOS).parts[0], PLAIN)


def _together(item: pytest.Item) -> Path:
    """Tell what of a file or folder is run in one machine: a kind of its own is booted once."""
    return item.path if _kind(item) == PLAIN else item.path.parent


def _seconds(items: list[pytest.Item]) -> int:
    return sum(
        LONG.get(path.name, SHORT * len(list(those)))
        for path, those in groupby(items, key=lambda item: item.path)
    )


def _name_inside(item: pytest.Item) -> str:
    return f"{item.path.relative_to(CHECKOUT).as_posix()}::{item.nodeid.partition('::')[2]}"


def _deadline(item: pytest.Item) -> float:
    marker = item.get_closest_marker("deadline")
    return float(marker.args[0]) if marker else DEADLINE
