"""Veeam Agent for Linux, by a double that does what its documentation says: it cannot be installed here.

It runs a script before its job, stops it when the time is over, warns if it failed, and begins the job in any case.
After the job, it runs the other script, in any case, too. Where the documentation says nothing, the double is as bad as
can be: it stops a script by killing it, and takes a folder that is not there for an empty one.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdstill.callers import Given, hook_of
from holdstill.errors import UsageError

from .conftest import LIMIT, read


@dataclass
class Veeam:
    """A job of Veeam's."""

    scripts: dict[str, Path]
    included: Path
    environment: dict[str, str]
    warnings: list[str] = field(default_factory=list)
    over: Callable[[], object] | None = None
    "When the time is over, for the first script."

    def script(self, which: str) -> None:
        process = subprocess.Popen(
            [self.scripts[which]],
            env=self.environment,
            cwd="/",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if self.over and which == "pre-job":
            self.over()
            process.kill()
        said, _ = process.communicate(timeout=LIMIT)
        if said or process.returncode:
            self.warnings.append(f"{which}: {process.returncode}: {said}")

    def run(self) -> dict[str, str]:
        """Give the files of a backup."""
        self.script("pre-job")
        files = read(self.included) if self.included.exists() else {}
        self.script("post-job")
        return files


@pytest.fixture
def veeam(place) -> Veeam:
    scripts = {which: place.root / f"{which}.sh" for which in ("pre-job", "post-job")}
    for which, path in scripts.items():
        path.write_text(place.run("caller", "veeam", "nightly", "--file", f"{which}.sh").out)
        path.chmod(0o755)
    return Veeam(scripts, place.trees / "nightly", os.environ | place.environment)


@pytest.mark.usefixtures("lingering")
def test_it_backs_up_what_is_held_and_lets_go_of_it(place, veeam):
    files = veeam.run()
    assert files["web/disk1"] == "the guest's data"
    assert ".holdstill.json" in files
    assert veeam.warnings == []
    assert place.left() == []


def test_though_it_goes_on_after_a_failure_it_reads_no_guests_files(place, veeam):
    place.disk.unlink()
    assert veeam.run() == {}
    [warning] = veeam.warnings
    assert warning.startswith("pre-job: 66: holdstill: ")
    assert place.left() == []


def test_it_reads_no_guests_files_if_the_guests_cannot_be_opened_to_the_end(place, veeam):
    place.write(open_="{stranger: {then: 'ls /no/such/path'}}")
    assert veeam.run() == {}
    assert place.left() == []


def test_what_it_reads_after_it_has_killed_its_script_is_no_running_guests(place, veeam, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")

    def over():
        place.eventually(gate.reached.exists)
        place.disk.write_text("newer data")
        gate.opened.touch()

    veeam.over = over
    assert veeam.run().get("web/disk1") in {None, "the guest's data"}
    assert place.left() == []


def test_a_hold_that_did_not_last_is_a_warning(overflowing, veeam):
    veeam.run()
    [warning] = veeam.warnings
    assert warning.startswith("post-job: 79: ")
    assert overflowing.left() == []


def test_after_it_was_killed_its_next_run_reads_new_data(place, veeam):
    veeam.script("pre-job")
    place.disk.write_text("newer data")
    assert veeam.run()["web/disk1"] == "newer data"
    assert place.left() == []


def test_its_limit_is_ten_minutes():
    assert hook_of("veeam")(Given("nightly", ["pre-job"], {})).within == 600


@pytest.mark.parametrize("words", [[], ["pre-freeze"], ["pre-job", "more"]])
def test_other_calls_are_refused(words):
    with pytest.raises(UsageError, match="Veeam's script is pre-job or post-job"):
        hook_of("veeam")(Given("nightly", words, {}))
