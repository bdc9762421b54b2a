"""The lvm plugin: what it refuses before anything is made, and what it takes away."""

from __future__ import annotations

import msgspec
import pytest

from holdstill.errors import ExitCode
from holdstill.host.planning import Nobody
from holdstill.plugin import Answer, CommandFailedError, UnavailableError
from holdstill.testing import plain_disk, trial_in
from holdstill.testing.faults import Fault, Kind
from holdstill_plugins import lvm, lvm_freeze, lvm_mend
from holdstill_plugins.lvm_removal import Removal, remove
from holdstill_plugins.lvm_thin import forget_half_made
from holdstill_plugins.lvm_volumes import Volume
from holdstill_plugins.together import Together

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


def test_a_group_that_lacks_a_device_is_told_before_anything_is_held(new_trial):
    trial = new_trial({"a": (["a"], "size: 4M")}, "a")
    trial.machine.kernel.missing["hostvg"] = 1
    outcome = trial.run()
    assert outcome.code == ExitCode.SNAPSHOT
    assert "/dev/hostvg/a of guest a is in a volume group that lacks 1 of its devices" in outcome.sentence
    assert not [argv for argv in trial.machine.commands if argv[0] == "lvcreate"]


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


def two_to_remove(new_trial, monkeypatch):
    """Two snapshots that are removed together: the one that is asked for, and one of another thread's."""
    machine = new_trial({"web": (["web"], "size: 4M")}, "web").machine
    removals = []
    for name in ("hs_r_web", "hs_r_mail"):
        machine.add_volume(f"hostvg/{name}", plain_disk())
        machine.kernel.volumes[f"hostvg/{name}"].tags = ("holdstill", "holdstill_r")
        removals.append(
            Removal(snapshot=f"hostvg/{name}", origin="hostvg/web", tag="holdstill_r", look_away="")
        )
    asked, other = removals
    monkeypatch.setattr(Together, "done", lambda _, one, work, **_of: work([other, one]))
    return machine, asked


def test_those_that_go_together_take_one_command(new_trial, monkeypatch):
    machine, asked = two_to_remove(new_trial, monkeypatch)
    remove(asked, machine)
    assert list(machine.kernel.volumes) == ["hostvg/web"]
    assert len([argv for argv in machine.commands if argv[0] == "lvremove"]) == 1


def test_another_one_that_is_in_use_does_not_keep_it(new_trial, monkeypatch):
    machine, asked = two_to_remove(new_trial, monkeypatch)
    machine.opened.add("/dev/hostvg/hs_r_mail")
    remove(asked, machine)
    assert list(machine.kernel.volumes) == ["hostvg/web", "hostvg/hs_r_mail"]


def test_one_that_is_in_use_is_spoken_of_alone_and_does_not_keep_another(new_trial, monkeypatch):
    machine, asked = two_to_remove(new_trial, monkeypatch)
    machine.opened.add("/dev/hostvg/hs_r_web")
    with pytest.raises(UnavailableError, match=r"^lvremove says: Logical volume hostvg/hs_r_web is used by"):
        remove(asked, machine)
    assert list(machine.kernel.volumes) == ["hostvg/web", "hostvg/hs_r_web"]


def test_of_two_that_are_in_use_each_is_told_what_lvm_says_of_it(new_trial, monkeypatch):
    machine, asked = two_to_remove(new_trial, monkeypatch)
    machine.opened |= {"/dev/hostvg/hs_r_mail", "/dev/hostvg/hs_r_web"}
    with pytest.raises(UnavailableError, match=r"^lvremove says: Logical volume hostvg/hs_r_web is used by"):
        remove(asked, machine)


def test_a_command_that_is_killed_among_several_leaves_no_origin_suspended(new_trial, monkeypatch):
    machine, asked = two_to_remove(new_trial, monkeypatch)
    machine.kernel.volumes[asked.snapshot].origin = asked.origin
    watchdogs = 2
    machine.fault = Fault(at=len(machine.commands) + 1 + watchdogs, kind=Kind.KILLED)
    with pytest.raises(CommandFailedError, match="lvremove"):
        remove(asked, machine)
    assert list(machine.kernel.volumes) == ["hostvg/web", asked.snapshot], "the other one was gone by then"
    assert not machine.kernel.suspended
    remove(asked, machine)
    assert list(machine.kernel.volumes) == ["hostvg/web"]


class Pool:
    """A host with a thin pool that has finished so many transactions, and a snapshot in it that was the third."""

    def __init__(self, finished: int) -> None:
        self.finished = finished
        self.told: list[tuple[str, ...]] = []

    def ask(self, *argv, **_how):
        assert argv == ("dmsetup", "status", "hostvg-pool-tpool")
        return Answer(argv, 0, f"0 262144 thin-pool {self.finished} 113/1024 0/2048 - rw discard_passdown\n")

    def run(self, *argv, **_how):
        self.told.append(argv)
        return Answer(argv, 0)


@pytest.mark.parametrize(("finished", "forgotten"), [(3, True), (4, False)])
def test_a_pool_forgets_a_snapshot_only_if_its_creation_was_cut_off(finished, forgotten):
    snapshot = msgspec.convert(
        {
            **dict.fromkeys(Volume.__struct_fields__, "0"),
            "vg_name": "hostvg",
            "pool_lv": "pool",
            "thin_id": "7",
            "transaction_id": "3",
        },
        Volume,
        strict=False,
    )
    host = Pool(finished)
    assert forget_half_made(snapshot, host) == forgotten
    assert host.told == ([("dmsetup", "message", "hostvg-pool-tpool", "0", "delete 7")] if forgotten else [])


class Maps:
    """A host with those maps (name and openers, a line each). LVM knows only the origin, and ``others`` of it."""

    def __init__(self, *maps: str, others: str = "") -> None:
        self.maps, self.others = list(maps), others
        self.changed: list[str] = []

    def ask(self, *argv, **_how):
        if argv[0] == "dmsetup":
            return Answer(argv, 0, "\n".join(self.maps) or "No devices found")
        return Answer(argv, 0, self.others if "origin=web" in argv else '{"report": [{"lv": []}]}')

    def run(self, *argv, **_how):
        self.changed.append(f"{argv[0]} {argv[-1]}")
        if argv[1] == "remove":
            self.maps = [line for line in self.maps if line.split()[0] != argv[-1]]
        return Answer(argv, 0)

    def beside(self, *_argv):
        return Nobody()


@pytest.mark.parametrize(
    ("maps", "others", "changed"),
    [
        ([], "", []),
        (["vg-web 1"], "", []),
        (["vg-web 1", "vg-web-real 0"], "", ["dmsetup vg-web-real"]),
        (["vg-web 1", "vg-web-real 1"], "", ["lvchange vg/web"]),
        (["vg-web 1", "vg-hs_1-cow 0"], "", ["dmsetup vg-hs_1-cow"]),
        (["vg-hs_1-cow 1", "vg-hs_1 0"], "", ["dmsetup vg-hs_1", "dmsetup vg-hs_1-cow"]),
        (["vg-web 1", "vg-web-real 2", "vg-old 0"], "old", []),
    ],
    ids=["nothing", "the origin", "made in vain", "in use", "a copy alone", "half a snapshot", "another's"],
)  # fmt: skip
def test_of_maps_that_lvm_has_forgotten_nothing_is_left(maps, others, changed):
    host = Maps(*maps, others=others)
    lvm_mend.sweep(host, "vg/web", "vg/hs_1", "", lvm_mend.openers_of_maps(host))
    assert host.changed == changed
