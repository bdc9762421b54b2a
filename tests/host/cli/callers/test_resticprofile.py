"""resticprofile, by a double that does what its source says: it cannot be installed here.

A shell runs each of its commands, with the profile's name in the environment, and after a failure with that, too; their
standard error is read to the end. What fails in «run-before», in restic or in «run-after» fails the backup, and ends
what was still to come, but for «run-finally». How that one ends is of no account. A signal goes on to the process that
was started, and no further.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdstill.callers import Given, hook_of
from holdstill.errors import UsageError

from .conftest import LIMIT, read


class FailedError(Exception):
    """A command that failed, or restic."""


@dataclass
class ResticProfile:
    """The backups of one profile."""

    section: dict[str, str]
    environment: dict[str, str]
    name: str = "nightly"
    said: list[str] = field(default_factory=list)
    stopped: Callable[[], object] | None = None
    "When it is told to stop, in its first command."

    def command(self, which: str, failure: str = "") -> None:
        known = {"PROFILE_NAME": self.name, "PROFILE_COMMAND": "backup"}
        known |= {"ERROR_MESSAGE": failure, "ERROR": failure} if failure else {}
        process = subprocess.Popen(
            ["sh", "-c", self.section[which]], env=self.environment | known, stderr=subprocess.PIPE, text=True
        )
        if self.stopped and which == "run-before":
            self.stopped()
            process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=LIMIT)
        self.said += said.splitlines()
        if process.returncode:
            raise FailedError(f"{which} on profile '{self.name}': exit status {process.returncode}")

    def backup(self, *, restic: str = "") -> dict[str, str]:
        """Give the files of a backup; ``failed`` is what it ended with."""
        self.failed, files = "", {}
        try:
            self.command("run-before")
            files = self.restic(restic)
            self.command("run-after")
        except FailedError as error:
            self.failed = str(error)
        try:
            self.command("run-finally", self.failed)
        except FailedError as error:
            self.said.append(str(error))
        return files

    def restic(self, failure: str) -> dict[str, str]:
        if failure:
            raise FailedError(failure)
        try:
            return read(Path(self.section["source"][0]))
        except FileNotFoundError:
            raise FailedError("all target directories/files do not exist") from None


@pytest.fixture
def resticprofile(place) -> ResticProfile:
    written = tomllib.loads(place.run("caller", "resticprofile", "nightly", "--file", "profiles.toml").out)
    return ResticProfile(written["nightly"]["backup"], os.environ | place.environment)


@pytest.mark.usefixtures("lingering")
def test_it_backs_up_what_is_held_and_lets_go_of_it(place, resticprofile):
    assert resticprofile.backup()["web/disk1"] == "the guest's data"
    assert (resticprofile.failed, resticprofile.said) == ("", [])
    assert place.left() == []


def test_it_makes_no_backup_if_the_guests_cannot_be_held(place, resticprofile):
    place.disk.unlink()
    assert resticprofile.backup() == {}
    assert resticprofile.failed.startswith("run-before")
    assert len(resticprofile.said) == 1
    assert place.left() == []


def test_if_nobody_held_the_guests_there_is_nothing_to_back_up(resticprofile):
    resticprofile.section["run-before"] = "true"
    assert resticprofile.backup() == {}
    assert resticprofile.failed == "all target directories/files do not exist"


@pytest.mark.parametrize("failure", ["exit status 1", "exit status 3", "signal: interrupt"])
def test_a_backup_that_fails_or_is_stopped_lets_go_all_the_same(place, resticprofile, failure):
    resticprofile.backup(restic=failure)
    assert (resticprofile.failed, resticprofile.said) == (failure, [])
    assert place.left() == []


def test_stopped_while_the_guests_are_opened_it_leaves_nothing(place, resticprofile, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    resticprofile.stopped = lambda: place.eventually(gate.reached.exists)
    assert resticprofile.backup() == {}
    assert resticprofile.failed.endswith("exit status 143")
    assert place.left() == []


def test_a_hold_that_did_not_last_fails_the_backup(overflowing, resticprofile):
    resticprofile.backup()
    assert resticprofile.failed.endswith("exit status 79")
    assert len(resticprofile.said) == 1
    assert overflowing.left() == []


def test_another_profile_at_the_same_time_is_refused_and_lets_go_of_nothing(place, resticprofile):
    resticprofile.command("run-before")
    resticprofile.name = "other"
    assert resticprofile.backup() == {}
    assert "is held for the session 'nightly'" in resticprofile.said[0]
    assert place.tree.exists()


def test_after_it_was_killed_its_next_backup_reads_new_data(place, resticprofile):
    resticprofile.command("run-before")
    place.disk.write_text("newer data")
    assert resticprofile.backup()["web/disk1"] == "newer data"
    assert place.left() == []


@pytest.mark.parametrize(("environment", "verdict"), [({}, "ok"), ({"ERROR_MESSAGE": "it failed"}, "failed")])
def test_what_became_of_its_backup_is_passed_on(environment, verdict):
    call = hook_of("resticprofile")(Given("nightly", ["run-finally"], environment))
    assert (call.do, call.verdict) == ("post", verdict)


@pytest.mark.parametrize("words", [[], ["before"], ["run-before", "more"]])
def test_other_calls_are_refused(words):
    with pytest.raises(UsageError, match="run-before, run-after or run-finally, not"):
        hook_of("resticprofile")(Given("nightly", words, {}))
