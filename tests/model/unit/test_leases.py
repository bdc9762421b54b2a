"""A hold whose post does not come: who lets go of it, when, and what the post that comes too late is told."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
import structlog

from holdstill.errors import ExitCode, StorageError
from holdstill.journal import verdicts
from holdstill.journal.journal import Journal
from holdstill.journal.records import VERSION, HandedOver, decode, encode
from holdstill.journal.shelf import Now, journals_in, now
from holdstill.journal.verdicts import KEPT_FOR, Verdict, leave_verdict, take_verdicts
from holdstill.run import conduct, recover
from holdstill.run.start import new_info
from holdstill.testing import classic_disk, trial_in

HOUR, YEAR = 3600.0, 365 * 86400.0
CONFIGURATION = """
guests:
  web: {disks: ["{root}/web.img"]}
  db: {disks: ["{root}/db.img"]}
jobs:
  nightly: {guests: [web], lease: 1h}
  other: {guests: [db], backup: {command: {run: backup-program}}}
"""


@pytest.fixture
def trial(tmp_path):
    """A machine whose job ``nightly`` is held for an hour, and that has another job."""
    made = trial_in(tmp_path / "machine", CONFIGURATION, add_images)
    made.machine.programs["backup-program"] = lambda _trees: 0
    assert made.pre().ok
    return made


def add_images(machine):
    for name in ("web", "db"):
        machine.add_image(machine.root / f"{name}.img", classic_disk())


def later(trial, *, clock=0.0, boottime=0.0):
    """A process of holdstill to which it is that much later, by each clock."""
    site, at = trial.site, now()
    site.now = lambda: Now(at.clock + clock, at.boottime + boottime)
    return site


def codes(outcomes):
    return [outcome.code for outcome in outcomes]


def reap(trial):
    return recover.recover(later(trial, clock=2 * HOUR, boottime=2 * HOUR))


def test_the_reaper_lets_go_when_the_lease_has_ended_and_not_before(trial):
    assert recover.recover(later(trial, clock=HOUR / 2, boottime=HOUR / 2)) == []
    assert codes(reap(trial)) == [ExitCode.OK]
    assert trial.state() == trial.before
    assert trial.held() == []


def test_after_a_boot_recover_lets_go_whatever_the_lease(trial):
    trial.machine.power_off()
    assert codes(trial.recover()) == [ExitCode.OK]
    assert trial.state() == trial.before


def test_a_run_of_another_job_lets_go_of_it(trial):
    site = later(trial, clock=2 * HOUR, boottime=2 * HOUR)
    assert conduct.run_job(site, new_info(site, "other", "run")).ok
    assert trial.held() == []


def test_a_post_that_comes_too_late_fails_once(trial):
    reap(trial)
    [outcome] = trial.post()
    assert outcome.code == ExitCode.BACKUP_FAILED
    assert "let go of before its post came, as its lease had ended" in outcome.sentence
    assert trial.post() == []


def test_a_post_after_a_boot_and_its_recovery_fails(trial):
    trial.machine.power_off()
    trial.recover()
    [outcome] = trial.post()
    assert outcome.code == ExitCode.BACKUP_FAILED
    assert "as the machine had booted" in outcome.sentence


def test_a_post_of_another_session_or_job_is_told_nothing(trial):
    reap(trial)
    assert trial.post(session="another") == []
    assert trial.post("other") == []
    assert codes(trial.post()) == [ExitCode.BACKUP_FAILED]


def test_a_post_after_the_lease_with_all_still_held_is_in_time(trial):
    outcomes = recover.post(later(trial, clock=2 * HOUR, boottime=2 * HOUR), "nightly", "default")
    assert codes(outcomes) == [ExitCode.OK]
    assert trial.post() == [], "nobody is told later that it was too late"


def test_a_new_hold_of_the_session_has_nothing_to_do_with_the_old_one(trial):
    reap(trial)
    assert trial.pre().ok
    assert codes(trial.post()) == [ExitCode.OK]


def test_what_a_post_could_not_let_go_of_is_no_lost_hold_when_recover_finishes_it(trial):
    trial.machine.broken.add("umount")
    assert codes(trial.post()) == [ExitCode.STILL_HELD]
    trial.machine.broken.clear()
    assert codes(trial.recover()) == [ExitCode.OK]
    assert trial.post() == []


def test_a_reaper_that_dies_half_way_still_lets_the_post_know(trial):
    trial.machine.broken.add("umount")
    assert codes(reap(trial)) == [ExitCode.STILL_HELD]
    trial.machine.broken.clear()
    trial.recover()
    assert codes(trial.post()) == [ExitCode.BACKUP_FAILED]


@pytest.mark.parametrize("jump", [-YEAR, YEAR])
def test_a_clock_that_is_set_ends_no_lease_and_prolongs_none(trial, jump):
    assert recover.recover(later(trial, clock=jump, boottime=HOUR / 2)) == []
    assert codes(recover.recover(later(trial, clock=jump, boottime=2 * HOUR))) == [ExitCode.OK]


def test_the_lease_of_an_older_holdstill_is_of_the_clock(trial):
    [path] = journals_in(trial.places.state).glob("*.jsonl")
    path.write_bytes(b"".join(map(without_boottime, path.read_bytes().splitlines())))
    assert recover.recover(later(trial, clock=HOUR / 2, boottime=2 * HOUR)) == []
    assert codes(recover.recover(later(trial, clock=2 * HOUR))) == [ExitCode.OK]


def without_boottime(line):
    record = decode(line)
    return (
        encode(HandedOver(lease_ends=record.lease_ends)) if isinstance(record, HandedOver) else line + b"\n"
    )


def test_a_post_that_another_process_is_in_the_way_of_lets_go_of_nothing_and_the_log_says_so(trial):
    [held] = trial.site.holds()
    other = Journal.take(held.path)
    with structlog.testing.capture_logs() as events:
        [outcome] = trial.post()
    other.leave()
    assert outcome.code == ExitCode.UNAVAILABLE
    [told] = [event for event in events if event["log_level"] == "error"]
    assert f"Another process still works on run {held.run}" in told["why"]
    assert trial.held()


def test_a_run_of_a_newer_holdstill_that_is_at_work_is_told_of_as_any_other(trial):
    [held] = trial.site.holds()
    assert codes(trial.post()) == [ExitCode.OK]
    newer = msgspec.structs.replace(held.story.header, id="newer", version=VERSION + 1)
    living = Journal.create(held.path.parent, newer)
    assert codes(trial.post()) == [ExitCode.UNAVAILABLE]
    living.leave()
    assert codes(trial.post()) == [ExitCode.STILL_HELD]


def test_a_verdict_that_cannot_be_written_does_not_stop_letting_go(trial, mocker):
    mocker.patch.object(Path, "rename", side_effect=OSError(28, "No space left on device"))
    assert codes(reap(trial)) == [ExitCode.OK]
    assert trial.state() == trial.before


# Verdicts


VERDICT = Verdict(run="r", job="nightly", session="default", sentence="It was let go of.")


def test_the_first_verdict_on_a_run_counts_and_is_given_once(state):
    journals_in(state).mkdir(parents=True)
    leave_verdict(state, VERDICT)
    leave_verdict(state, Verdict(run="r", job="nightly", session="default", sentence="another"))
    assert take_verdicts(state, "nightly", "default") == [VERDICT]
    assert take_verdicts(state, "nightly", "default") == []


def test_a_verdict_that_could_not_be_put_on_the_disk_is_none_and_can_be_left_again(state, mocker):
    journals_in(state).mkdir(parents=True)
    full = mocker.patch.object(os, "fsync", side_effect=OSError(28, "No space left on device"))
    with pytest.raises(StorageError, match="No space left on device"):
        leave_verdict(state, VERDICT)
    assert list(verdicts.verdicts(state)) == []
    mocker.stop(full)
    leave_verdict(state, VERDICT)
    assert take_verdicts(state, "nightly", "default") == [VERDICT]


def test_a_verdict_that_nobody_asks_for_does_not_stay_for_ever(state):
    journals_in(state).mkdir(parents=True)
    leave_verdict(state, VERDICT)
    [path] = journals_in(state).iterdir()
    assert take_verdicts(state, "other", "default") == []
    assert path.exists()
    long_ago = path.stat().st_mtime - KEPT_FOR - 1
    os.utime(path, (long_ago, long_ago))
    assert take_verdicts(state, "other", "default") == []
    assert not path.exists()


def test_a_verdict_that_cannot_be_read_is_none(state):
    journals_in(state).mkdir(parents=True)
    journals_in(state).joinpath("r.verdict").write_text("{")
    assert list(verdicts.verdicts(state)) == []
