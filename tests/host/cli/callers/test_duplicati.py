"""Duplicati, by a double that does what its source says: it cannot be installed here.

It runs a script with its options and more in the environment, and reads both outputs to the end. A required first
script must end with 0. Of any other first script it reads 0, 2 and 4 as "go on", 1 as "no backup, and that is fine", 3
as a warning, the rest as an error. The last script is run whatever happened, but without the operation's name if the
first one refused; if it fails, that is logged. A folder that is not there is skipped with a warning, unless its options
have it abort.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdstill.callers import Given, hook_of

from .conftest import LIMIT, read

READ_AS = {0: "", 1: "Success", 2: "", 3: "Warning", 4: ""}
"How it reports an operation that a first script refused; nothing: it goes on."


class AbortError(Exception):
    """An operation that is not carried out, or not to its end, and how that is reported."""


@dataclass
class Duplicati:
    """The runs of one backup."""

    options: dict[str, str]
    environment: dict[str, str]
    name: str = "guests"
    log: list[str] = field(default_factory=list)

    def script(self, option: str, event: str, operation: str, result: str = "") -> int:
        """Run a script, if there is one."""
        if option not in self.options:
            return 0
        said = {name.replace("-", "_"): value for name, value in self.options.items()}
        said |= {
            "EVENTNAME": event,
            "OPERATIONNAME": operation,
            "backup_name": self.name,
            "PARSED_RESULT": result,
        }
        done = subprocess.run(
            [self.options[option]],
            env=self.environment | {f"DUPLICATI__{name}": value for name, value in said.items() if value},
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        changed = [line for line in done.stdout.splitlines() if line.startswith("--")]
        assert changed == [], "it would take these for options"
        self.log += done.stderr.splitlines()
        return done.returncode

    def first(self, operation: str) -> None:
        """Run the scripts before an operation."""
        if self.script("run-script-before-required", "BEFORE", operation):
            raise AbortError("Fatal")
        if reported := READ_AS.get(self.script("run-script-before", "BEFORE", operation), "Error"):
            raise AbortError(reported)

    def do(self, operation: str, source: Path | None = None, *, fails: str = "") -> dict[str, str]:
        """Carry out an operation; give the files of a backup. ``result`` is what it reports."""
        known, files, self.result = "", {}, "Success"
        try:
            self.first(operation)
            known = operation
            if fails:
                raise AbortError(fails)
            files = self.read(source) if source else {}
        except AbortError as error:
            self.result = str(error)
        self.last = self.script("run-script-after", "AFTER", known, self.result)
        return files

    def read(self, source: Path) -> dict[str, str]:
        try:
            return read(source)
        except FileNotFoundError:
            if self.options.get("abort-if-source-missing"):
                raise AbortError("Fatal") from None
            self.log.append(f"The source path {source} does not exist, skipping")
            return {}


@pytest.fixture
def duplicati(place) -> Duplicati:
    script = place.root / "duplicati-nightly"
    script.write_text(place.run("caller", "duplicati", "nightly", "--file", "script.sh").out)
    script.chmod(0o755)
    options = place.run("caller", "duplicati", "nightly", "--file", "options.txt").out
    lines = options.replace("/usr/local/sbin/duplicati-nightly", str(script)).splitlines()
    given = dict(line.removeprefix("--").split("=", 1) for line in lines)
    return Duplicati(given, os.environ | place.environment)


@pytest.fixture
def source(place) -> Path:
    """What it backs up, as our page says."""
    return place.trees / "nightly"


@pytest.mark.usefixtures("lingering")
def test_it_backs_up_what_is_held_and_lets_go_of_it(place, duplicati, source):
    assert duplicati.do("Backup", source)["web/disk1"] == "the guest's data"
    assert (duplicati.result, duplicati.last, duplicati.log) == ("Success", 0, [])
    assert place.left() == []


def test_it_makes_no_backup_if_the_guests_cannot_be_held(place, duplicati, source):
    place.disk.unlink()
    assert duplicati.do("Backup", source) == {}
    assert (duplicati.result, duplicati.last, len(duplicati.log)) == ("Fatal", 0, 1)
    assert place.left() == []


def test_a_script_that_is_not_required_refuses_the_backup_too_and_is_no_success(place, duplicati, source):
    place.disk.unlink()
    duplicati.options["run-script-before"] = duplicati.options.pop("run-script-before-required")
    assert duplicati.do("Backup", source) == {}
    assert duplicati.result == "Error"


def test_if_it_goes_on_with_nobody_holding_the_guests_it_misses_the_folder_and_fails(duplicati, source):
    """As an older release does after a script that is not required, whatever became of that."""
    del duplicati.options["run-script-before-required"]
    assert duplicati.do("Backup", source) == {}
    assert duplicati.result == "Fatal"


@pytest.mark.parametrize("result", ["Fatal", "Error", "Unknown"])
def test_a_backup_that_fails_or_is_stopped_lets_go_all_the_same(place, duplicati, source, result):
    duplicati.do("Backup", source, fails=result)
    assert (duplicati.last, duplicati.log) == (0, [])
    assert place.left() == []


@pytest.mark.parametrize("operation", ["Restore", "List", "Test"])
def test_other_operations_hold_nothing_and_let_go_of_nothing(place, duplicati, operation):
    duplicati.first("Backup")
    duplicati.do(operation)
    assert (duplicati.result, duplicati.log) == ("Success", [])
    assert place.tree.exists()


def test_another_backup_at_the_same_time_is_refused_and_lets_go_of_nothing(place, duplicati, source):
    duplicati.first("Backup")
    duplicati.name = "others"
    assert duplicati.do("Backup", source) == {}
    assert "is held for the session 'guests'" in duplicati.log[0]
    assert place.tree.exists()


def test_a_hold_that_did_not_last_is_an_error_in_its_log(overflowing, duplicati, source):
    duplicati.do("Backup", source)
    assert duplicati.last == 79
    assert "did not hold to the end" in duplicati.log[0]
    assert overflowing.left() == []


def test_what_cannot_be_done_within_its_limit_is_refused_and_let_go_of(place, duplicati, source, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    duplicati.options["run-script-timeout"] = "20s"
    assert duplicati.do("Backup", source) == {}
    assert duplicati.result == "Fatal"
    place.eventually(lambda: place.left() == [])


def call(**said):
    return hook_of("duplicati")(
        Given("nightly", [], {f"DUPLICATI__{name}": value for name, value in said.items()})
    )


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("", 60),
        ("5m", 300),
        ("1m30s", 90),
        ("90", 90),
        ("1h2m3s", 3723),
        ("2D", 172800),
        ("0", None),
        ("0s", None),
    ],
)
def test_its_limit_is_read_as_it_reads_it(written, seconds):
    assert call(OPERATIONNAME="Backup", EVENTNAME="BEFORE", run_script_timeout=written).within == seconds


@pytest.mark.parametrize(
    ("result", "verdict"),
    [("Success", "ok"), ("Warning", "ok"), ("Error", "failed"), ("Fatal", "failed"), ("Unknown", "unknown")],
)
@pytest.mark.parametrize("event", ["AFTER", "POST-BACKUP"])
def test_what_became_of_its_backup_is_passed_on(event, result, verdict):
    found = call(OPERATIONNAME="Backup", EVENTNAME=event, PARSED_RESULT=result, backup_name="guests")
    assert (found.do, found.session, found.verdict) == ("post", "guests", verdict)


def test_why_it_cannot_hold_is_in_syslog_as_duplicati_tells_the_exit_code_only(place, overheard):
    environment = {"DUPLICATI__OPERATIONNAME": "Backup", "DUPLICATI__EVENTNAME": "BEFORE"}
    words = ("hook", "--job=other", "duplicati")
    assert place.run(*words, env=os.environ | place.environment | environment).code == 66
    assert ["'other'" in line for line in overheard()] == [True]
