"""Two jobs that hold the same guest at once: each its own snapshot, and neither disturbs the other's moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from holdstill.errors import ExitCode, UnavailableError
from holdstill.host import alone
from holdstill.host.real import RealHost
from holdstill.testing import Trial, classic_disk, every_death, plain_disk, trial_in

CONFIGURATION = """
guests:
  web: {disks: [/dev/hostvg/web, /dev/hostvg/db], open: []}
  same: {disks: [/dev/hostvg/web], open: []}
jobs:
  nightly: {guests: [web]}
  hourly: {guests: [same]}
"""


@pytest.fixture
def trial(tmp_path) -> Trial:
    def prepare(machine):
        machine.add_volume("hostvg/web", classic_disk())
        machine.add_volume("hostvg/db", plain_disk())

    return trial_in(tmp_path / "machine", CONFIGURATION, prepare)


def test_both_hold_and_each_lets_go_of_its_own(trial):
    assert trial.pre("nightly").ok
    between = trial.state()
    assert trial.pre("hourly").ok
    [outcome] = trial.post("hourly")
    assert outcome.ok, outcome.sentence
    assert trial.state() == between
    [outcome] = trial.post("nightly")
    assert outcome.ok, outcome.sentence
    assert trial.state() == trial.before


def test_a_guest_that_another_run_holds_still_is_waited_for_and_not_for_ever(trial):
    with trial.machine.alone_with("/dev/hostvg/web"):
        outcome = trial.pre("hourly")
    assert outcome.code == ExitCode.UNAVAILABLE
    assert "Other runs have held the disk /dev/hostvg/web still" in outcome.sentence
    assert trial.machine.spent >= 60
    assert not trial.held()
    assert trial.pre("hourly").ok


def test_one_lets_go_without_waking_what_the_other_holds_still(trial):
    assert trial.pre("hourly").ok
    with trial.machine.alone_with("/dev/hostvg/web", "/dev/hostvg/db"):
        trial.machine.kernel.suspended.add("hostvg-web")
        [outcome] = trial.post("hourly")
        assert outcome.still_held
        assert trial.machine.kernel.suspended == {"hostvg-web"}
        trial.machine.kernel.suspended.clear()
    assert all(outcome.ok for outcome in trial.recover())
    assert trial.state() == trial.before


def test_recovery_of_a_run_that_died_freezing_waits_for_one_that_freezes(trial):
    machine = trial.machine
    next(command for command in every_death(trial, Trial.pre) if len(machine.kernel.suspended) > 1)
    asleep = set(machine.kernel.suspended)
    with machine.alone_with("/dev/hostvg/db"):
        [outcome] = trial.recover()
        assert any("suspended" in held.what for held in outcome.still_held)
        assert machine.kernel.suspended == asleep
    assert all(outcome.ok for outcome in trial.recover())
    assert trial.state() == trial.before


HOLDER = """
import sys
from pathlib import Path
from holdstill.host.real import RealHost
with RealHost(locks=Path(sys.argv[1])).alone_with(sys.argv[2]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_disk_is_known_by_whatever_path_and_free_again_when_its_holder_is_killed(tmp_path):
    disk, link = tmp_path / "disk", tmp_path / "link"
    disk.touch()
    link.symlink_to(disk)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / "locks", disk],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout
    assert process.stdout.readline() == b"held\n"
    host = RealHost(locks=tmp_path / "locks")
    with pytest.raises(UnavailableError, match="disk"), host.alone_with(str(link), within=0.1):
        pass
    with host.alone_with(str(tmp_path / "another"), within=0):
        process.kill()
        process.communicate()
    with host.alone_with(str(link), within=10):
        assert list(Path(tmp_path / "locks").iterdir())


def test_all_take_the_locks_of_disks_in_one_order_so_that_no_two_wait_for_each_other(tmp_path, mocker):
    disks, taken = [f"/dev/hostvg/{name}" for name in "abcdefgh"], mocker.spy(alone, "_open")
    for asked in (disks, disks[::-1], [*disks[3:], *disks]):
        with alone.alone_with(tmp_path, asked, 0, float):
            pass
    paths = [call.args[0] for call in taken.call_args_list]
    assert paths[:8] == paths[8:16] == paths[16:]
    assert [len(set(paths[:8])), len(paths)] == [8, 24]
    with alone.alone_with(tmp_path, disks[:1], 0, float):
        assert taken.call_args.args[0] == paths[0]
