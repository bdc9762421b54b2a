"""NetBackup's client, by a double that does what its documentation says: it cannot be installed here.

Before a backup it runs ``bpstart_notify.POLICY.SCHEDULE``, or that without the schedule, or without both, with the
client, the policy, the schedule and its type; if that fails, the backup ends with status 73. Then it reads what the
policy names: with nothing of it there, it ends with 71. Then it runs ``bpend_notify``, with the status, too. Where the
documentation says nothing, the double is as bad as can be: it bears no output, and runs no ``bpend_notify`` after 73.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdstill.callers import Given, hook_of, words_of
from holdstill.errors import UsageError

from .conftest import LIMIT, read


@dataclass
class NetBackup:
    """Backups of a client."""

    folder: Path
    "Its scripts."
    selection: Path
    "What its policies have it back up."
    environment: dict[str, str]

    def notify(self, name: str, policy: str, *status: str) -> int:
        names = [f"{name}.{policy}.daily", f"{name}.{policy}", name]
        scripts = [self.folder / name for name in names if (self.folder / name).exists()]
        if not scripts:
            return 0
        assert os.access(scripts[0], os.X_OK)
        words = [scripts[0], "xen1", policy, "daily", "FULL", *status]
        done = subprocess.run(
            words, env=self.environment, capture_output=True, text=True, check=False, timeout=LIMIT
        )
        assert (done.stdout, done.stderr) == ("", ""), "it takes this for the backup's own"
        return done.returncode

    def backup(self, policy: str = "nightly", *, ends: int = 0) -> int:
        """Give the status that a backup ends with; its ``files`` are what it has read."""
        self.files: dict[str, str] = {}
        if self.notify("bpstart_notify", policy):
            return 73
        try:
            self.files = {} if ends else read(self.selection)
        except FileNotFoundError:
            ends = 71
        self.ended = self.notify("bpend_notify", policy, str(ends))
        return ends


@pytest.fixture
def netbackup(place) -> NetBackup:
    folder = place.root / "bin"
    folder.mkdir()
    for name in ("bpstart_notify", "bpend_notify"):
        script = folder / f"{name}.nightly"
        script.write_text(place.run("caller", "netbackup", "nightly", "--file", name).out)
        script.chmod(0o755)
    return NetBackup(folder, place.trees / "nightly", os.environ | place.environment)


@pytest.mark.usefixtures("lingering")
def test_it_backs_up_what_is_held_and_lets_go_of_it(place, netbackup):
    assert netbackup.backup() == 0
    assert netbackup.files["web/disk1"] == "the guest's data"
    assert netbackup.ended == 0
    assert place.left() == []


def test_it_makes_no_backup_if_the_guests_cannot_be_held(place, netbackup):
    place.disk.unlink()
    assert netbackup.backup() == 73
    assert place.left() == []


def test_if_nobody_held_the_guests_there_is_nothing_to_back_up(netbackup):
    (netbackup.folder / "bpstart_notify.nightly").unlink()
    assert netbackup.backup() == 71


@pytest.mark.parametrize("status", [13, 150])
def test_a_backup_that_fails_or_is_stopped_lets_go_all_the_same(place, netbackup, status):
    assert netbackup.backup(ends=status) == status
    assert netbackup.ended == 0
    assert place.left() == []


def test_after_it_was_killed_its_next_backup_reads_new_data(place, netbackup):
    assert netbackup.notify("bpstart_notify", "nightly") == 0
    place.disk.write_text("newer data")
    assert netbackup.backup() == 0
    assert netbackup.files["web/disk1"] == "newer data"
    assert place.left() == []


def test_another_stream_at_the_same_time_makes_no_backup_and_lets_go_of_nothing(place, netbackup):
    netbackup.environment["STREAM_NUMBER"] = "1"
    assert netbackup.notify("bpstart_notify", "nightly") == 0
    netbackup.environment["STREAM_NUMBER"] = "2"
    assert netbackup.backup() == 73
    assert place.tree.exists()


def test_a_hold_that_did_not_last_fails_bpend_notify_without_a_word(overflowing, netbackup):
    netbackup.backup()
    assert netbackup.ended == 79
    assert overflowing.left() == []


@pytest.mark.parametrize("suffix", [".nightly", ".nightly.daily"])
def test_links_with_the_names_of_its_scripts_hold_the_job_that_the_policy_names(place, netbackup, suffix):
    for script in list(netbackup.folder.iterdir()):
        script.unlink()
        (netbackup.folder / f"{script.name.partition('.')[0]}{suffix}").symlink_to(place.command[0])
    assert netbackup.backup("others") == 71  # they are not called for it
    assert netbackup.backup() == 0
    assert netbackup.files["web/disk1"] == "the guest's data"
    assert place.left() == []


def test_a_link_for_all_policies_fails_one_that_no_job_is_named_as_without_a_word(place, netbackup):
    (netbackup.folder / "bpstart_notify").symlink_to(place.command[0])
    assert netbackup.backup("others") == 73


START = ("bpstart_notify", "xen1", "nightly", "daily", "FULL")
JOB = "--job=nightly"


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        ((JOB, "netbackup", "bpstart_notify"), 64, "NetBackup calls bpstart_notify with"),
        ((JOB, "--within=never", "netbackup", *START), 64, "--within"),
        (("--job=other", "netbackup", *START), 66, "'other'"),
    ],
)
def test_why_it_is_refused_is_in_syslog_as_nothing_is_printed(place, overheard, words, code, reason):
    result = place.run("hook", *words)
    assert (result.code, result.out) == (code, "")
    assert result.err == "" or "--within=never" in words  # before it is known whose hook it is
    [line] = overheard()
    assert line.startswith("<27>holdstill[")
    assert reason in line
    assert "Traceback" not in line


def test_a_wrong_configuration_is_in_syslog_too(place, overheard):
    place.write(open_="strangr")
    assert place.run("hook", JOB, "netbackup", *START).code == 78
    assert ["did you mean 'stranger'" in line for line in overheard()] == [True]


def test_so_is_that_another_stream_holds_the_guests(place, overheard):
    assert place.run("pre", "nightly", "--session=another").silent
    overheard()
    result = place.run("hook", JOB, "netbackup", *START)
    assert (result.code, result.out, result.err) == (69, "", "")
    assert any("another" in line for line in overheard())


@pytest.mark.parametrize("name", ["bpstart_notify", "bpend_notify"])
def test_a_script_prints_nothing_even_where_there_is_no_holdstill(netbackup, name):
    script = netbackup.folder / f"{name}.nightly"
    script.write_text(script.read_text().replace("exec ", "exec /nonexistent"))
    assert netbackup.notify(name, "nightly", "0") == 127


@pytest.mark.parametrize("name", ["bpstart_notify", "bpend_notify.a.b"])
def test_its_scripts_names_are_told_the_hook(name):
    assert words_of(name, ["xen1"]) == ["hook", "netbackup", name, "xen1"]


@pytest.mark.parametrize(("status", "verdict"), [("0", "ok"), ("1", "ok"), ("13", "failed")])
def test_what_became_of_its_backup_is_passed_on(status, verdict):
    given = Given("", ["bpend_notify", "xen1", "nightly", "daily", "INCR", status, "more"], {})
    call = hook_of("netbackup")(given)
    assert (call.do, call.job, call.session, call.verdict) == ("post", "nightly", "nightly", verdict)


def test_its_limit_is_five_minutes():
    assert (
        hook_of("netbackup")(Given("", ["bpstart_notify", "xen1", "nightly", "daily", "FULL"], {})).within
        == 300
    )


@pytest.mark.parametrize(
    "words", [[], ["bpstart_notify", "xen1"], ["bpend_notify", "xen1", "p", "s", "FULL"]]
)
def test_other_calls_are_refused(words):
    with pytest.raises(UsageError, match="NetBackup calls bpstart_notify with"):
        hook_of("netbackup")(Given("nightly", words, {}))
