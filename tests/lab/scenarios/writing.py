"""A guest at work: ``writer.py``, running beside a scenario."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .system import wait_until

PROGRAM = Path(__file__).with_name("writer.py")


class Writer:
    """A guest that counts on its disks in turn, and tells the longest that it had to wait."""

    def __init__(self, process: subprocess.Popen[str], report: Path) -> None:
        self.process = process
        self._report = report

    def report(self) -> dict[str, float]:
        """How often it has written to each disk, and the longest stall in seconds."""
        told: dict[str, float] = json.loads(self._report.read_text())
        return told

    def goes_on(self) -> None:
        """Wait until it has written some more."""
        before = self.report()["count"]
        wait_until(lambda: self.report()["count"] > before + 20, "the writer goes on")
        assert self.process.poll() is None


@contextmanager
def writing(report: Path, *disks: str) -> Iterator[Writer]:
    """Have a writer at work inside; it notes in ``report`` how it fares."""
    process = subprocess.Popen([sys.executable, PROGRAM, report, *disks], text=True)
    try:
        wait_until(report.exists, "the writer has begun")
        yield Writer(process, report)
    finally:
        process.kill()
        process.wait()
