"""The lvm plugin: what it refuses before anything is made, and what it takes away."""

from __future__ import annotations

import pytest

from holdstill.errors import ExitCode
from holdstill.plugin import UnavailableError
from holdstill.testing import plain_disk, trial_in
from holdstill_plugins import lvm, lvm_freeze

MIB = 1 << 20
JOB = "jobs: {nightly: {guests: [%s], backup: {command: {run: backup-program}}}}"
FACTS = {"volume": "hostvg/hs_r_web", "tag": "holdstill_r", "origin": "hostvg/web", "look_away": ""}


@pytest.fixture
def new_trial(tmp_path):
    """A job of guests, each given by its disks and the options of its snapshots."""

    def make(guests, named, *, pool=""):
        lines = ["guests:"]
        for guest, (disks, options) in guests.items():
            paths = ", ".join(f"/dev/hostvg/{disk}" for disk in disks)
            lines.append(f"  {guest}: {{disks: [{paths}], snapshot: {{lvm: {{{options}}}}}, open: []}}")
        volumes = [disk for disks, _ in guests.values() for disk in disks]

        def prepare(machine):
            for volume in volumes:
                machine.add_volume(f"hostvg/{volume}", plain_disk(), pool=pool)
            machine.kernel.free["hostvg"] = 100 * MIB
            machine.programs["backup-program"] = lambda _: 0

        return trial_in(tmp_path / "machine", "\n".join([*lines, JOB % named]), prepare)

    return make


def test_the_room_of_all_guests_is_looked_at_together(new_trial):
    trial = new_trial({"a": (["a"], "size: 60M"), "b": (["b"], "size: 48M")}, "a, b")
    outcome = trial.run()
    assert outcome.code == ExitCode.SNAPSHOT
    assert (
        "has 100.0 MiB free; the snapshots of a (60.0 MiB), b (48.0 MiB) need 108.0 MiB together"
        in outcome.sentence
    )
    assert not [argv for argv in trial.machine.commands if argv[0] == "lvcreate"]


def test_so_is_the_room_of_all_disks_of_one_guest(new_trial):
    outcome = new_trial({"a": (["a1", "a2"], "size: 60M")}, "a").run()
    assert "the snapshots of a (60.0 MiB) need 120.0 MiB together" in outcome.sentence


def test_a_snapshot_of_no_size_is_refused(new_trial):
    assert new_trial({"a": (["a"], "size: 0")}, "a").run().code == ExitCode.SNAPSHOT


def test_several_thin_disks_are_refused_unless_the_guest_is_quiet_by_itself(new_trial):
    trial = new_trial({"a": (["a1", "a2"], "size: 1M")}, "a", pool="pool")
    outcome = trial.run()
    assert outcome.code == ExitCode.SNAPSHOT
    assert "/dev/hostvg/a1 of guest a is a thin volume and one of several disks" in outcome.sentence
    assert "quiesced: true" in outcome.sentence
    trial.places.config.write_text(
        trial.places.config.read_text().replace("size: 1M", "size: 1M, quiesced: true")
    )
    assert trial.run().ok
    assert not [argv for argv in trial.machine.commands if "suspend" in argv]


def test_thin_guests_that_are_held_apart_need_no_such_word(new_trial):
    assert new_trial({"a": (["a"], "size: 1M"), "b": (["b"], "size: 1M")}, "a, b", pool="pool").run().ok


@pytest.mark.parametrize("layout", ["mirror", "thin,pool", "vdo"])
def test_what_lvm_makes_no_snapshots_of_is_refused_by_name(new_trial, layout):
    trial = new_trial({"a": (["a"], "size: 4M")}, "a")
    trial.machine.kernel.volumes["hostvg/a"].layout = layout
    assert "/dev/hostvg/a of guest a is a " in trial.run().sentence


def test_disks_that_were_suspended_for_too_long_fail_the_job_and_are_resumed(new_trial, monkeypatch):
    monkeypatch.setattr(lvm_freeze, "LONGEST", 0)
    trial = new_trial({"a": (["a1", "a2"], "size: 4M")}, "a")
    outcome = trial.run()
    assert outcome.code == ExitCode.SNAPSHOT
    assert "may be torn" in outcome.sentence
    assert trial.state() == trial.before


def test_a_volume_that_does_not_bear_our_tag_is_not_removed(new_trial):
    machine = new_trial({"web": (["web"], "size: 4M")}, "web").machine
    machine.add_volume("hostvg/hs_r_web", plain_disk())
    lvm.holdstill_undo(FACTS, machine)
    assert "hostvg/hs_r_web" in machine.kernel.volumes


def test_one_that_does_is_held_as_long_as_lvm_cannot_remove_it(new_trial):
    machine = new_trial({"web": (["web"], "size: 4M")}, "web").machine
    machine.add_volume("hostvg/hs_r_web", plain_disk())
    machine.kernel.volumes["hostvg/hs_r_web"].tags = ("holdstill", "holdstill_r")
    machine.opened.add("/dev/hostvg/hs_r_web")
    with pytest.raises(UnavailableError, match="is used by another device"):
        lvm.holdstill_undo(FACTS, machine)
    machine.opened.clear()
    lvm.holdstill_undo(FACTS, machine)
    assert "hostvg/hs_r_web" not in machine.kernel.volumes
