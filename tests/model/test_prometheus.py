"""``prometheus``: a textfile that node_exporter's collector can read, with what outlasts a failure in it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from holdstill.errors import ExitCode, UnavailableError
from holdstill.plugin import hookimpl
from holdstill.plugins.load import Found
from holdstill.testing import Fault, Kind, Trial, classic_disk
from holdstill.testing.machine import Machine
from holdstill_plugins import prometheus

CONFIGURATION = """
guests:
  web: {disks: [/dev/hostvg/web]}
  db: {disks: [/dev/hostvg/db-1, /dev/hostvg/db-2], open: []}
jobs:
  nightly:
    guests: [web, db]
    backup: counted
    release-within: 0
around: {prometheus: {folder: {root}/textfiles}}
"""


class Counted:
    """A backup that tells how large it is, and can keep everything from being let go of."""

    def __init__(self):
        self.bytes = 1000
        self.stuck = False

    @hookimpl
    def holdstill_make_backup(self, step, host):
        host.run("backup-program")
        return {"bytes": self.bytes, "trees": [step.run.trees]}

    @hookimpl
    def holdstill_undo(self):
        """Nothing was promised."""


class Stuck:
    @hookimpl(wrapper=True)
    def holdstill_undo(self):
        if Stuck.now:
            raise UnavailableError("in use")
        return (yield)


@pytest.fixture
def counted():
    Stuck.now = False
    return Counted()


@pytest.fixture
def trial(tmp_path, counted):
    """A job of two guests on a modelled machine."""
    root = tmp_path / "machine"
    (root / "textfiles").mkdir(parents=True)
    machine = Machine(root)
    for name in ("web", "db-1", "db-2"):
        machine.add_volume(f"hostvg/{name}", classic_disk())
    machine.programs["backup-program"] = lambda _trees: 0
    plugins = (
        Found(name="counted", origin="the test", plugin=counted),
        Found(name="stuck", origin="the test", plugin=Stuck()),
    )
    return Trial(machine, CONFIGURATION.replace("{root}", str(root)), plugins)


def fails(_trees):
    return 3


def figures(trial: Trial) -> dict[tuple[str, ...], float]:
    """What node_exporter reads: values by the name of the metric and its other labels."""
    text = (trial.machine.root / "textfiles" / "holdstill_nightly.prom").read_text()
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.labels.pop("backup_job") == "nightly"
            found[sample.name.removeprefix("holdstill_"), *sample.labels.values()] = sample.value
    return found


# A good run


def test_a_good_run_is_told_in_full(trial):
    before = time.time()
    assert trial.run().ok
    told = figures(trial)
    assert (
        before
        <= told["last_attempt_timestamp_seconds",]
        <= told["last_success_timestamp_seconds",]
        <= time.time()
    )
    assert told["last_run_ok",] == 1
    assert told["last_run_exit_code",] == 0
    assert told["still_held",] == 0
    assert told["backup_bytes",] == 1000
    phases = {labels[0] for name, *labels in told if name == "last_run_phase_duration_seconds"}
    assert phases == {"prepare", "expose", "backup", "release", "verify"}
    assert {("quiet_seconds", "web"), ("quiet_seconds", "db"), ("frozen_seconds", "db")} <= set(told)


def test_the_fullest_snapshot_of_each_guest_is_told(trial):
    def backup(_trees):
        shares = {"web": 0.25, "db-1": 0.5, "db-2": 0.125}
        for volume in trial.machine.kernel.volumes.values():
            volume.used = int(volume.room * shares.get(volume.origin.removeprefix("hostvg/"), 0))
        return 0

    trial.machine.programs["backup-program"] = backup
    trial.run()
    told = figures(trial)
    assert told["snapshot_fill_ratio", "web"] == pytest.approx(0.25, abs=0.01)
    assert told["snapshot_fill_ratio", "db"] == pytest.approx(0.5, abs=0.01)


def test_post_tells_the_times_of_its_pre(trial):
    trial.pre()
    trial.post()
    told = figures(trial)
    phases = {labels[0] for name, *labels in told if name == "last_run_phase_duration_seconds"}
    assert phases == {"prepare", "expose", "release"}
    assert ("quiet_seconds", "web") in told
    assert ("frozen_seconds", "db") in told


def test_everyone_may_read_the_file_and_nothing_else_is_left_in_the_folder(trial):
    trial.run()
    [path] = (trial.machine.root / "textfiles").iterdir()
    assert path.stat().st_mode & 0o777 == 0o644


# Runs that are not


def test_a_failure_is_told_and_the_last_success_is_kept(trial, counted):
    trial.run()
    good = figures(trial)
    counted.bytes = 7
    trial.machine.programs["backup-program"] = fails
    trial.run()
    told = figures(trial)
    assert (told["last_run_ok",], told["last_run_exit_code",]) == (0, ExitCode.BACKUP_FAILED)
    for kept in ("last_success_timestamp_seconds", "backup_bytes"):
        assert told[kept,] == good[kept,]
    assert told["last_attempt_timestamp_seconds",] > good["last_attempt_timestamp_seconds",]
    assert ("last_run_phase_duration_seconds", "verify") not in told


def test_the_size_of_a_backup_that_read_garbage_is_not_told(trial, counted):
    trial.run()

    def backup(_trees):
        for volume in trial.machine.kernel.volumes.values():
            volume.invalid = bool(volume.room)
        return 0

    counted.bytes = 7
    trial.machine.programs["backup-program"] = backup
    assert trial.run().code == ExitCode.BACKUP_FAILED
    assert figures(trial)["backup_bytes",] == 1000


def test_where_there_was_no_success_its_time_is_0(trial):
    trial.machine.programs["backup-program"] = fails
    trial.run()
    assert figures(trial)["last_success_timestamp_seconds",] == 0


@pytest.mark.parametrize("left", [b"", b'{"last_run_ok":[', b"\xff"])
def test_what_a_power_cut_has_left_of_the_last_figures_is_forgotten(trial, left):
    trial.run()
    [memory] = trial.places.state.glob("plugins/prometheus/nightly.json")
    memory.write_bytes(left)
    trial.machine.programs["backup-program"] = fails
    trial.run()
    told = figures(trial)
    assert (told["last_run_ok",], told["last_success_timestamp_seconds",]) == (0, 0)


def test_a_refused_run_keeps_all_that_it_did_not_get_to(trial):
    trial.run()
    good = figures(trial)
    trial.machine.kernel.free["hostvg"] = 0
    trial.run()
    told = figures(trial)
    assert told["last_run_exit_code",] == ExitCode.SNAPSHOT
    assert told["quiet_seconds", "web"] == good["quiet_seconds", "web"]


def test_what_is_still_held_is_counted_until_it_is_let_go_of(trial):
    Stuck.now = True
    held = trial.run().still_held
    assert figures(trial)["still_held",] == len(held) > 3
    with pytest.raises(Exception, match="still holds"):
        trial.run()
    assert figures(trial)["still_held",] == len(held)
    Stuck.now = False
    trial.recover()
    assert figures(trial)["still_held",] == 0


def test_a_killed_run_that_is_recovered_is_no_success(trial):
    trial.in_another_process(Trial.run, Fault(20, Kind.DIE_AFTER))
    trial.recover()
    told = figures(trial)
    assert (told["last_run_ok",], told["last_success_timestamp_seconds",]) == (0, 0)


def test_a_hold_that_nobody_called_post_for_is_no_success(trial):
    trial.pre()
    trial.pre()
    assert figures(trial)["last_run_ok",] == 0


def test_a_folder_that_is_not_there_refuses_the_job(trial):
    (trial.machine.root / "textfiles").rmdir()
    assert "for Prometheus' textfiles does not exist" in trial.run().sentence


def test_a_folder_that_goes_away_changes_nothing(trial):
    def backup(_trees):
        (trial.machine.root / "textfiles").rmdir()
        return 0

    trial.machine.programs["backup-program"] = backup
    assert trial.run().ok


# The format


@given(st.dictionaries(st.text(min_size=1), st.floats(allow_nan=False), min_size=1))
def test_any_label_and_any_value_is_read_back(values):
    samples = [prometheus.Sample(value, {"guest": name}) for name, value in values.items()]
    text = prometheus._family("quiet_seconds", samples, "nightly")
    [family] = text_string_to_metric_families(text)
    assert {sample.labels["guest"]: sample.value for sample in family.samples} == values
