"""A pytest plugin for the inside: tells the outside, through the port, what pytest reports."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the outside name the tests it wants."""
    parser.addoption("--wanted", action="append", help="run this test, and others only if named as well")
    parser.addoption("--deadline", action="append", type=float, help="how long that test may say nothing")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests that are wanted, in the order in which the outside waits for them."""
    place = {test: number for number, test in enumerate(config.getoption("--wanted"))}
    items[:] = sorted((item for item in items if item.nodeid in place), key=lambda item: place[item.nodeid])


def pytest_configure(config: pytest.Config) -> None:
    """Speak through the port that the agent left open for us, and for nobody that the tests start."""
    port = int(os.environ.pop("LAB_PORT"))
    os.set_inheritable(port, False)
    config.pluginmanager.register(Events(port, config))


DEVICES = ["dmsetup", "info", "-c"]
# All but the kernel's own, as a tree.
PROCESSES = ["ps", "-wwH", "-N", "--pid", "2", "--ppid", "2", "-o", "pid,stat,wchan:24,args"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Tell what hangs while there is still somebody to tell it."""
    deadlines = dict(zip(item.config.getoption("--wanted"), item.config.getoption("--deadline"), strict=True))
    timer = threading.Timer(deadlines[item.nodeid] * 0.8, tell_what_hangs)
    timer.daemon = True
    timer.start()
    try:
        return (yield)
    finally:
        timer.cancel()


def tell_what_hangs() -> None:
    """Write to the console where this process is, and what else there is."""
    main_thread = sys._current_frames()[threading.main_thread().ident or 0]
    with Path("/dev/console").open("w") as console:
        # The test's end of the stack: the rest is pytest.
        console.writelines(["\nThis test takes very long.\n", *traceback.format_stack(main_thread)[-12:]])
        console.flush()
        for argv in (DEVICES, PROCESSES):
            subprocess.run(argv, stdout=console, stderr=console, timeout=20, check=False)


class Events:
    """The hooks whose news go outside."""

    def __init__(self, port: int, config: pytest.Config) -> None:
        self._port = port
        self._config = config

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell which test is running now."""
        self._say({"started": nodeid})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Tell how a test's setup, call or teardown went."""
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._say({"report": data, "test": report.nodeid})

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Tell that nothing more comes from this test."""
        self._say({"ended": nodeid})

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell of a file that cannot be collected in here, though it could be outside."""
        if report.failed:
            self._say({"problem": report.longreprtext})

    def pytest_internalerror(self, excrepr: object) -> None:
        """Tell of a failure of pytest itself."""
        self._say({"problem": str(excrepr)})

    def _say(self, message: dict[str, Any]) -> None:
        rest = json.dumps(message, default=str).encode() + b"\n"
        while rest:
            rest = rest[os.write(self._port, rest) :]
