"""Scenarios are collected here as ordinary tests, run in the lab's machine, and reported here one by one.

``HOLDSTILL_LAB=required`` makes a failure of what would be a skip. ``HOLDSTILL_LAB_ACCEL`` is ``kvm`` or
``tcg``. ``HOLDSTILL_LAB_DEADLINE`` is how many seconds the machine may say nothing while a scenario runs.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from .commands import LabError
from .kinds import KINDS, PLAIN, Kind
from .lab import CHECKOUT, Lab
from .machine import Machine
from .needs import lacking
from .relay import Relay

Outcome = Literal["failed", "skipped"]

SCENARIOS = Path(__file__).parent / "scenarios"
DEADLINE = float(os.environ.get("HOLDSTILL_LAB_DEADLINE", "180"))


class Outside:
    """The session's lab, and the pytest inside each kind of machine."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._relays: dict[Kind, Relay] = {}
        self.lab = Lab(self._tell)

    def relay(self, kind: Kind) -> Relay:
        """Return what knows all scenarios of this session for ``kind``, so that one process inside can run them."""
        if kind not in self._relays:
            tests = [item for item in self._session.items if _is_scenario(item) and _kind(item) == kind]
            limits = {_name_inside(item): _deadline(item) for item in tests}
            self._relays[kind] = Relay(lambda: self.lab.machine(kind), limits)
        return self._relays[kind]

    def _tell(self, text: str) -> None:
        terminal = self._session.config.pluginmanager.get_plugin("terminalreporter")
        if terminal:
            terminal.ensure_newline()
            terminal.write_line(f"lab: {text}")


OUTSIDE = pytest.StashKey[Outside]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the lab's markers known."""
    config.addinivalue_line("markers", "lab: runs in a machine of the lab, or with one")
    config.addinivalue_line("markers", "deadline(seconds): how long the machine may say nothing in this test")


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let ``-m 'not lab'`` leave the machine off."""
    if _is_scenario(item) or "lab_machine" in getattr(item, "fixturenames", ()):
        item.add_marker("lab")


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
        told = _outside(item.session).relay(_kind(item)).reports(_name_inside(item))
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


def _is_scenario(item: pytest.Item) -> bool:
    return SCENARIOS in item.path.parents


def _kind(item: pytest.Item) -> Kind:
    """Tell which machine a scenario runs in: a folder among the scenarios is named as its kind."""
    return KINDS.get(item.path.relative_to(SCENARIOS).parts[0], PLAIN)


def _name_inside(item: pytest.Item) -> str:
    return f"{item.path.relative_to(CHECKOUT).as_posix()}::{item.nodeid.partition('::')[2]}"


def _deadline(item: pytest.Item) -> float:
    marker = item.get_closest_marker("deadline")
    return float(marker.args[0]) if marker else DEADLINE
