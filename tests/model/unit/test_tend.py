"""What is held is looked after while it is read: a snapshot that fills up gets more room."""

from __future__ import annotations

import threading
import time

import pytest
import structlog

from holdstill.errors import ExitCode
from holdstill.plugins.registry import Registry
from holdstill.run import tend
from holdstill.testing import Trial, classic_disk, trial_in
from holdstill_plugins import lvm_fill

MIB = 1 << 20
LIMIT = 90.0
"Seconds after which what we wait for will not come."
CONFIGURATION = """
guests:
  web:
    disks: [/dev/hostvg/web]
    snapshot: {lvm: {size: 16M, cap: 40M}}
jobs:
  nightly: {guests: [web], backup: {command: {run: backup-program}}}
"""


@pytest.fixture
def trial(tmp_path, monkeypatch):
    """A job whose snapshot is looked at as often as can be."""
    monkeypatch.setattr(tend, "FIRST_LOOK", 0.0)
    monkeypatch.setattr(lvm_fill, "AT_EASE", 0.01)
    monkeypatch.setattr(lvm_fill, "ALERT", 0.01)
    return trial_in(
        tmp_path / "machine", CONFIGURATION, lambda machine: machine.add_volume("hostvg/web", classic_disk())
    )


def snapshot(trial: Trial):
    """The snapshot that is held."""
    return next(volume for volume in trial.machine.kernel.volumes.values() if volume.room)


def writes_until(trial: Trial, size: int):
    """A backup during which the guest fills seven tenths of its snapshot, until that has a size, or time is over."""
    sizes: list[int] = []

    def program(_trees):
        made, ends = snapshot(trial), time.monotonic() + LIMIT
        while made.room < size and time.monotonic() < ends:
            made.used = int(made.room * 0.7)
            threading.Event().wait(0.01)
        threading.Event().wait(0.1)  # what would go too far, does so now
        sizes.append(made.room)
        return 0

    trial.machine.programs["backup-program"] = program
    return sizes


def test_a_snapshot_that_fills_up_is_extended_by_its_size_up_to_its_cap(trial):
    sizes = writes_until(trial, 40 * MIB)
    assert trial.run().ok
    assert sizes == [40 * MIB]
    assert [argv[4] for argv in trial.machine.commands if argv[0] == "lvextend"] == ["+4", "+2"]
    assert trial.state() == trial.before


def test_it_is_not_extended_beyond_what_its_group_has(trial):
    trial.machine.kernel.free["hostvg"] = 24 * MIB
    trial.before = trial.state()
    sizes = writes_until(trial, 24 * MIB)
    assert trial.run().ok
    assert sizes == [24 * MIB]
    assert trial.state() == trial.before


def warnings(told) -> list[str]:
    return [event["why"] for event in told if event["log_level"] == "warning"]


def wait_for_a_warning(told) -> None:
    ends = time.monotonic() + LIMIT
    while not warnings(told) and time.monotonic() < ends:
        threading.Event().wait(0.01)
    threading.Event().wait(0.1)  # what would be warned of again, is so now


def test_one_that_is_nearly_full_and_cannot_grow_is_warned_of_once(trial, told):
    def program(_trees):
        made = snapshot(trial)
        made.room, made.used = 40 * MIB, 38 * MIB
        wait_for_a_warning(told)
        return 0

    trial.machine.programs["backup-program"] = program
    trial.machine.kernel.free["hostvg"] = 16 * MIB
    trial.run()
    [warning] = warnings(told)
    assert "over 90% full and cannot be extended" in warning
    assert "cap" in warning


def test_one_that_overflows_is_told_at_once_and_fails_the_job(trial, told):
    def program(_trees):
        snapshot(trial).invalid = True
        wait_for_a_warning(told)
        return 0

    trial.machine.programs["backup-program"] = program
    outcome = trial.run()
    assert outcome.code == ExitCode.BACKUP_FAILED
    assert [why for why in warnings(told) if "lost" in why]
    assert trial.state() == trial.before


def test_a_backup_that_fails_as_its_snapshot_overflowed_is_told_with_that_reason(trial):
    def program(_trees):
        snapshot(trial).invalid = True
        return 2

    trial.machine.programs["backup-program"] = program
    outcome = trial.run()
    assert [failure.phase for failure in outcome.failures] == ["backup", "release"]
    assert "overflowed; give it more room ('size')" in outcome.sentence
    assert trial.state() == trial.before


@pytest.fixture
def told():
    """All that is logged."""
    with structlog.testing.capture_logs() as events:
        yield events


def test_where_nothing_can_be_looked_after_there_is_nothing_to_wait_for(trial):
    """The plugin was removed after its promise was made."""
    trial.machine.programs["backup-program"] = lambda _trees: 0
    assert trial.pre().ok
    [held] = trial.site.holds()
    tend.Tender(Registry(), trial.machine, held.story.open).tend(lambda _seconds: False)
