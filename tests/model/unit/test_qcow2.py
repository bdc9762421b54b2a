"""Disks in qcow2 files: what is refused, which device is taken, and what is nobody else's business."""

from __future__ import annotations

import pytest

from holdstill.errors import ExitCode, NotPlannableError
from holdstill.host.planning import PlanningHost
from holdstill.run.plan import pretend
from holdstill.run.start import new_info, resolve
from holdstill.testing import Machine, Qcow2, classic_disk, trial_in
from holdstill.testing.kernel import Loop, Nbd
from holdstill_plugins import kpartx, loops

CONFIGURATION = """
guests:
  web:
    disks: ["{root}/web.qcow2"]
    snapshot: PLUGIN
jobs:
  nightly:
    guests: [web]
    backup: {command: {run: backup-program}}
"""


@pytest.fixture
def new_trial(tmp_path):
    """Give a trial with a guest's disk in a qcow2 file, or, without anything told of it, what a test puts there."""

    def made(plugin="qcow2", prepare=None, **machine):
        def disks(machine: Machine) -> None:
            (prepare or (lambda m: m.add_qcow2(m.root / "web.qcow2", classic_disk())))(machine)

        trial = trial_in(tmp_path / "machine", CONFIGURATION.replace("PLUGIN", plugin), disks, **machine)
        trial.machine.programs["backup-program"] = lambda _trees: 0
        return trial

    return made


def with_layers(**told):
    def prepare(machine):
        machine.add_qcow2(
            machine.root / "web.qcow2",
            classic_disk(),
            **{"full-backing-filename": f"{machine.root}/base.qcow2", "backing-filename": "base.qcow2"},
            **{"backing-filename-format": "qcow2"},
        )
        machine.add_qcow2(machine.root / "base.qcow2", classic_disk(), **told)

    return prepare


def test_the_plugin_for_raw_images_names_the_one_for_qcow2(new_trial):
    outcome = new_trial("image").run()
    assert outcome.code == ExitCode.CONFIG
    assert "Write 'snapshot: qcow2'" in outcome.sentence


def test_a_raw_image_is_not_taken_for_a_qcow2_one(new_trial):
    outcome = new_trial(
        prepare=lambda machine: machine.add_image(machine.root / "web.qcow2", classic_disk())
    ).run()
    assert outcome.code == ExitCode.CONFIG
    assert "use 'image'" in outcome.sentence


def test_devices_that_are_not_there_are_asked_for(new_trial, mocker):
    trial = new_trial()
    mocker.patch("holdstill.testing.commands.nbd.DEVICES", ())
    outcome = trial.run()
    assert outcome.code == ExitCode.UNAVAILABLE
    assert "«modprobe nbd»" in outcome.sentence


def test_what_backs_an_image_may_be_qcow2_or_raw(new_trial):
    raw = {
        "full-backing-filename": "/base.raw",
        "backing-filename": "base.raw",
        "backing-filename-format": "raw",
    }
    assert new_trial(prepare=with_layers(**raw)).run().ok


@pytest.mark.parametrize(
    ("told", "sentence"),
    [
        (
            {"full-backing-filename": "/x/base.raw", "backing-filename": "../x/base.raw"},
            "does not say of which format its backing file /x/base.raw is. It is never guessed.",
        ),
        (
            {"format-specific": {"data": {"data-file": "base.data"}}},
            "keeps its data in base.data: a copy of it would show the live guest's data",
        ),
        ({"encrypted": True}, "is encrypted"),
    ],
)
def test_no_layer_may_be_guessed_or_live(new_trial, told, sentence):
    trial = new_trial(prepare=with_layers(**told))
    outcome = trial.run()
    assert outcome.code == ExitCode.UNAVAILABLE
    assert f"{trial.machine.root}/base.qcow2 {sentence}" in outcome.sentence
    assert trial.state() == trial.before


def test_a_layer_that_cannot_be_read_is_told(new_trial):
    def gone(machine):
        with_layers()(machine)
        (machine.root / "base.qcow2").unlink()
        del machine.kernel.contents[f"{machine.root}/base.qcow2"]

    outcome = new_trial(prepare=gone).run()
    assert outcome.code == ExitCode.DATA
    assert "or what backs it, cannot be read" in outcome.sentence


def test_a_copy_that_would_be_torn_is_refused(new_trial, mocker):
    trial = new_trial(can_clone=False)
    real = trial.machine.run

    def run(*argv, **more):
        answer = real(*argv, **more)
        if "--reflink=never" in argv:
            (trial.machine.root / "web.qcow2").write_bytes(b"QFI\xfb and more")
        return answer

    mocker.patch.object(trial.machine, "run", run)
    outcome = trial.run()
    assert outcome.code == ExitCode.SNAPSHOT
    assert "not of one moment" in outcome.sentence
    assert not trial.held()


def test_who_is_slower_takes_the_next_device(new_trial):
    trial = new_trial()
    trial.machine.kernel.nbds["/dev/nbd0"] = Nbd("/of/another", shown=False)
    trial.before = trial.state()
    assert trial.pre().ok
    assert list(trial.machine.kernel.nbds) == ["/dev/nbd0", "/dev/nbd1"]
    trial.post()
    assert trial.state() == trial.before


@pytest.mark.parametrize("shown", [True, False])
def test_no_device_is_free(new_trial, shown):
    trial = new_trial()
    for number in range(4):
        trial.machine.kernel.nbds[f"/dev/nbd{number}"] = Nbd("/of/another", shown=shown)
    trial.before = trial.state()
    outcome = trial.run()
    assert outcome.code == ExitCode.UNAVAILABLE
    assert "No NBD device is free" in outcome.sentence
    assert trial.state() == trial.before


def test_the_hosts_lvm_sees_no_partition_while_it_is_held(new_trial):
    trial = new_trial()
    assert trial.pre().ok
    assert [served.partitions for served in trial.machine.kernel.nbds.values()] == [False]


def test_a_disk_in_use_is_not_taken_away(new_trial):
    trial = new_trial()
    trial.machine.broken.add("umount")
    outcome = trial.run()
    assert outcome.code == ExitCode.STILL_HELD
    assert any("/dev/nbd0 is still in use by" in held.why for held in outcome.still_held)
    assert list(trial.machine.kernel.nbds) == ["/dev/nbd0"]
    trial.machine.broken.clear()
    trial.recover()
    assert trial.state() == trial.before


def test_a_backup_of_a_disk_whose_server_died_fails(new_trial):
    trial = new_trial()
    assert trial.pre().ok
    trial.machine.kernel.nbds.clear()
    [outcome] = trial.post()
    assert outcome.code == ExitCode.BACKUP_FAILED
    assert "no NBD device serves" in outcome.sentence
    assert trial.state() == trial.before


def test_what_is_inside_is_known_only_when_it_is_served(new_trial):
    trial = new_trial()
    info = new_info(trial.site, "nightly")
    run = pretend(trial.site, info, resolve(trial.site, info))
    assert isinstance(run.host, PlanningHost)
    from holdstill.run.expose import make_snapshots, ready

    [[held]] = ready(run)
    with pytest.raises(NotPlannableError, match="known once <NBD device of disk1> is there"):
        make_snapshots(run, held)
    assert [line.split()[0] for line in run.host.take()] == ["cp", "qemu-nbd"]
    assert trial.state() == trial.before


@pytest.mark.parametrize(
    ("now", "left"),
    [("/copy", False), ("/of/another", True), (None, False)],
    ids=["ours", "others", "nobody"],
)
def test_loop_devices_of_who_has_the_number_now_are_left_alone(tmp_path, now, left):
    machine = Machine(tmp_path)
    machine.kernel.contents |= {"/copy": Qcow2(classic_disk()), "/of/another": Qcow2(classic_disk())}
    machine.kernel.loops["/dev/loop0"] = Loop("/dev/nbd0", 512, 1024)
    if now:
        machine.kernel.nbds["/dev/nbd0"] = Nbd(now)
    facts = {"store": "/dev/nbd0", "start": 512, "size": 1024, "served": "qemu-nbd /copy"}
    loops.detach(facts, machine)
    assert ("/dev/loop0" in machine.kernel.loops) == left


@pytest.mark.parametrize(("now", "asked"), [("/copy", True), ("/of/another", False)], ids=["ours", "others"])
def test_partition_maps_of_who_has_the_number_now_are_left_alone(tmp_path, now, asked):
    machine = Machine(tmp_path)
    machine.kernel.contents |= {"/copy": Qcow2(classic_disk()), "/of/another": Qcow2(classic_disk())}
    machine.kernel.nbds["/dev/nbd0"] = Nbd(now)
    machine.run("kpartx", "-a", "-s", "/dev/nbd0")
    facts = {"device": "/dev/nbd0", "store": "/dev/nbd0", "maps": ["nbd0p1"], "served": "qemu-nbd /copy"}
    kpartx.holdstill_undo(facts, machine)
    assert ("nbd0p1" not in machine.kernel.maps) == asked
