"""A journal that cannot be read: what its run holds is found by tag, told with the commands by hand, and left alone."""

from __future__ import annotations

import shlex

import pytest

from holdstill.errors import ExitCode
from holdstill.run.strays import strays
from holdstill.testing import Trial, every_death

pytestmark = pytest.mark.usefixtures("no_log")


def overwrite_journals(trial: Trial) -> None:
    """Put something else where the journals are, as a bad disk does."""
    for journal in (trial.places.state / "journals").glob("*.jsonl"):
        journal.write_bytes(b"\xff" * journal.stat().st_size + b"\n")


def remove_journals(trial: Trial) -> None:
    for journal in (trial.places.state / "journals").glob("*.jsonl"):
        journal.unlink()


def let_go_by_hand(trial: Trial) -> None:
    """Type what is listed, in that order; each command must do."""
    found, failures = strays(trial.site)
    assert not failures
    trial.machine.restart_services()  # which bear no mark of ours: only a person can know that they were stopped
    for stray in found:
        trial.machine.run(*shlex.split(stray.by_hand))


def test_nothing_is_astray_while_a_journal_knows_of_it(shape, new_folder):
    trial = shape.trial(new_folder())
    assert strays(trial.site) == ([], [])
    assert trial.pre().ok
    assert strays(trial.site) == ([], [])


def test_what_a_run_holds_whose_journal_is_damaged_is_told_and_left_alone(shape, new_folder):
    trial = shape.trial(new_folder())
    assert trial.pre().ok
    state = trial.state()
    overwrite_journals(trial)
    damaged, *told = trial.recover()
    assert "damaged" in damaged.sentence
    assert {outcome.code for outcome in told} == {ExitCode.STILL_HELD}
    assert trial.state() == state
    assert [outcome.still_held for outcome in trial.recover()] == [outcome.still_held for outcome in told]


def test_strays_are_looked_for_also_while_what_a_damaged_journal_tells_of_is_still_held(shapes, new_folder):
    trial = shapes["a logical volume"].trial(new_folder())
    assert trial.pre().ok
    [journal] = (trial.places.state / "journals").glob("*.jsonl")
    header, _folder, _snapshot, *rest = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([header, b"?\n", b"?\n", *rest]))
    trial.machine.kernel.boot += 1
    trial.machine.broken.add("umount")
    damaged, *astray = trial.recover()
    assert (damaged.code, bool(damaged.failures)) == (ExitCode.STILL_HELD, True)
    assert any("snapshot" in held.what for outcome in astray for held in outcome.still_held)


def test_typing_what_is_told_of_strays_in_that_order_lets_go_of_all(shape, new_folder):
    trial = shape.trial(new_folder())
    assert trial.pre().ok
    overwrite_journals(trial)
    trial.recover()
    let_go_by_hand(trial)
    assert trial.state() == trial.before
    assert trial.recover() == []


def test_whenever_a_run_dies_and_its_journal_with_it_all_is_found(shape, new_folder):
    trial = shape.trial(new_folder())
    for command in every_death(trial, Trial.run):
        remove_journals(trial)
        trial.machine.let_end()
        trial.machine.kernel.suspended.clear()  # by the watchdog, which needs no journal
        trial.machine.kernel.half_made.clear()
        trial.machine.kernel.frozen.clear()  # by whoever knows the application: of a command's, only the journal tells
        let_go_by_hand(trial)
        assert trial.state() == trial.before, command


def test_the_snapshot_is_told_with_the_command_that_removes_it(shapes, new_folder):
    trial = shapes["only a snapshot"].trial(new_folder())
    assert trial.pre().ok
    [name] = [name for name in trial.machine.kernel.volumes if "hs_" in name]
    overwrite_journals(trial)
    told = [held for outcome in trial.recover() for held in outcome.still_held]
    assert (f"snapshot {name}", f"lvremove --yes {name}") in [(held.what, held.by_hand) for held in told]


def test_of_two_runs_only_the_one_without_a_journal_is_told(shapes, new_folder):
    trial = shapes["only a snapshot"].trial(new_folder())
    assert trial.pre().ok
    remove_journals(trial)
    lost = {stray.run for stray in strays(trial.site)[0]} - {""}
    assert trial.pre().ok
    assert {stray.run for stray in strays(trial.site)[0]} == lost


def test_a_volume_that_only_looks_like_ours_is_not_told(shapes, new_folder):
    trial = shapes["a logical volume"].trial(new_folder())
    run = "20260101T000000Z0123abcd"
    volumes = trial.machine.kernel.volumes
    trial.machine.add_volume(f"hostvg/hs_{run}_web", trial.machine.kernel.contents["/dev/hostvg/web"])
    trial.machine.add_volume("hostvg/tagged", trial.machine.kernel.contents["/dev/hostvg/web"])
    volumes["hostvg/tagged"].tags = ("holdstill", f"holdstill_{run}")
    assert strays(trial.site) == ([], [])
    volumes[f"hostvg/hs_{run}_web"].tags = ("holdstill", f"holdstill_{run}")
    assert [stray.run for stray in strays(trial.site)[0]] == [run]


def test_what_cannot_be_looked_for_is_told(shapes, new_folder):
    trial = shapes["a logical volume"].trial(new_folder())
    trial.machine.broken.add("losetup")
    found, failures = strays(trial.site)
    assert found == []
    assert "losetup" in failures[0].sentence


def test_a_journal_that_tells_a_part_lets_go_of_that_and_tells_of_the_rest(shapes, new_folder):
    trial = shapes["a logical volume"].trial(new_folder())
    assert trial.pre().ok
    [journal] = (trial.places.state / "journals").glob("*.jsonl")
    lines = journal.read_bytes().splitlines(keepends=True)
    [snapshot] = [number for number, line in enumerate(lines) if b'"snapshot ' in line]
    lines[snapshot] = b"\0" * (len(lines[snapshot]) - 1) + b"\n"
    journal.write_bytes(b"".join(lines))
    trial.machine.kernel.boot += 1
    damaged, told = trial.recover()
    assert damaged.code == ExitCode.IO
    assert [held.what.partition(" ")[0] for held in told.still_held] == ["snapshot"]
    let_go_by_hand(trial)
    assert trial.state() == trial.before
