"""«make bench»: how long holdstill itself takes, as ratios from one run on this machine. Nothing is asserted."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import structlog

from holdstill.testing import classic_disk, trial_in

HOLDSTILL = str(Path(sys.executable).with_name("holdstill"))
RUNS = 25
BESIDES = 4
"fsyncs of a first «pre» besides those for promises: two new folders, the journal's name, and the handing over."
CONFIGURATION = """
guests:
  web:
    disks: [/dev/hostvg/web]
jobs:
  nightly:
    guests: [web]
    backup: {command: {run: backup-program}}
"""


def main() -> None:
    """Measure, and print a table."""
    print(f"{'what':<44} {'measured':>12} {'aim':>12}")
    bare, version, held = starts()
    line("«holdstill --version» against «python3 -c pass»", f"{version / bare:.2f} x", "3 x")
    line("«holdstill held» against «python3 -c pass»", f"{held / bare:.2f} x", "5 x")
    line("«python3 -c pass»", f"{bare * 1000:.1f} ms", "")
    seconds, steps, fsyncs, promises = a_step()
    line("the runner's own time for a step", f"{seconds / steps * 1000:.2f} ms", "1 ms")
    line("fsyncs for each promise", f"{(fsyncs - BESIDES) / promises:.2f}", "1")


def line(what: str, measured: str, aim: str) -> None:
    """Print a row."""
    print(f"{what:<44} {measured:>12} {aim:>12}")


def starts() -> tuple[float, float, float]:
    """Median seconds of a bare Python, of ``--version`` and of ``held``, taken in turn."""
    with tempfile.TemporaryDirectory() as state:
        commands = (
            [sys.executable, "-c", "pass"],
            [HOLDSTILL, "--version"],
            [HOLDSTILL, f"--state={state}", "held"],
        )
        rounds = [tuple(map(seconds_of, commands)) for _ in range(RUNS + 1)][1:]
    bare, version, held = (statistics.median(column) for column in zip(*rounds, strict=True))
    return bare, version, held


def seconds_of(argv: list[str]) -> float:
    """Time a command, from its start to its end."""
    began = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def a_step() -> tuple[float, int, int, int]:
    """Time a job on the modelled machine, without its commands and without fsync.

    Gives seconds, how many steps the job took, and how many fsyncs and promises there were.
    """
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[_drop])
    with tempfile.TemporaryDirectory() as folder:
        numbers = iter(range(1000))
        counted = mock.Mock(return_value=None)
        with mock.patch.object(os, "fsync", counted):
            times = [_run(Path(folder) / str(next(numbers))) for _ in range(RUNS)]
        promises = len(times[0][1])
    return statistics.median(seconds for seconds, _ in times), promises, counted.call_count // RUNS, promises


def _run(folder: Path) -> tuple[float, list[str]]:
    trial = trial_in(
        folder, CONFIGURATION, lambda machine: machine.add_volume("hostvg/web", classic_disk()) and None
    )
    trial.machine.programs["backup-program"] = lambda _trees: 0
    in_commands = _Watch(trial.machine.run)
    trial.machine.run = in_commands  # type: ignore[method-assign]
    began = time.perf_counter()
    trial.pre()
    spent = time.perf_counter() - began - in_commands.seconds
    held = trial.held()
    trial.post()
    return spent, held


class _Watch:
    """Counts the time that is spent in a function."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function
        self.seconds = 0.0

    def __call__(self, *arguments: object, **named: object) -> object:
        began = time.perf_counter()
        try:
            return self._function(*arguments, **named)
        finally:
            self.seconds += time.perf_counter() - began


def _drop(_logger: object, _method: str, _event: object) -> str:
    raise structlog.DropEvent


if __name__ == "__main__":
    main()
