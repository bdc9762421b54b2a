"""Whatever fails, wherever a run dies: nothing is left that `recover` does not put right."""

from __future__ import annotations

import pytest

from holdstill.errors import ExitCode
from holdstill.testing import DEATHS, FAILURES, Fault, Kind, Trial, every_death, every_point

pytestmark = pytest.mark.usefixtures("no_log")


def test_a_run_leaves_the_machine_as_it_was(shape, new_folder):
    trial = shape.trial(new_folder())
    outcome = trial.run()
    assert outcome.ok, outcome.sentence
    assert trial.state() == trial.before
    assert not trial.held()


def test_pre_holds_until_post(shape, new_folder):
    trial = shape.trial(new_folder())
    assert trial.pre().ok
    assert trial.held()
    assert trial.state() != trial.before
    assert trial.recover() == []
    [outcome] = trial.post()
    assert outcome.ok, outcome.sentence
    assert trial.state() == trial.before


def test_a_run_that_dies_at_any_moment_is_recovered(shape, new_folder):
    trial = shape.trial(new_folder())
    for command in every_death(trial, Trial.run):
        assert_recovered(trial, command)


def test_after_a_power_cut_at_any_moment_recover_puts_the_host_right(shape, new_folder):
    trial = shape.trial(new_folder())
    for command in every_death(trial, Trial.run):
        trial.machine.power_off()
        assert_recovered(trial, command)


@pytest.mark.parametrize("part", [Trial.post, Trial.recover])
def test_letting_go_that_dies_at_any_moment_is_finished_by_the_next(shape, new_folder, part):
    trial = shape.trial(new_folder())
    assert trial.pre().ok
    trial.machine.kernel.boot += part is Trial.recover
    for command in every_death(trial, part):
        assert_recovered(trial, command)


@pytest.mark.parametrize("kind", DEATHS)
def test_a_process_that_is_really_killed_is_recovered(shapes, new_folder, kind):
    shape = shapes["two guests"]
    for fault in list(every_point(lambda: shape.trial(new_folder()), Trial.run, [kind]))[::3]:
        trial = shape.trial(new_folder())
        assert trial.in_another_process(Trial.run, fault) == 9
        assert_recovered(trial, fault)


@pytest.mark.parametrize("kind", FAILURES)
def test_a_run_in_which_any_command_goes_wrong_lets_go_of_all(shape, new_folder, kind):
    for fault in every_point(lambda: shape.trial(new_folder()), Trial.run, [kind]):
        trial = shape.trial(new_folder())
        trial.machine.fault = fault
        outcome = trial.run()
        trial.machine.let_end()
        assert not trial.held(), (fault, trial.held())
        assert trial.state() == trial.before, fault
        assert not outcome.still_held


def test_nothing_is_let_go_of_while_a_command_hangs_and_all_is_when_it_has_ended(shape, new_folder):
    for fault in every_point(lambda: shape.trial(new_folder()), Trial.run, [Kind.STUCK]):
        trial = shape.trial(new_folder())
        trial.machine.fault, trial.machine.patient = fault, False
        outcome = trial.run()
        assert not outcome.ok or not trial.held(), fault
        trial.machine.let_end()
        assert_recovered(trial, fault)


def test_what_cannot_be_let_go_of_is_told_and_recovered_later(shapes, new_folder):
    trial = shapes["a logical volume"].trial(new_folder())
    trial.machine.broken.add("umount")
    outcome = trial.run()
    assert outcome.code == ExitCode.STILL_HELD
    assert outcome.still_held[0].by_hand == f"umount {trial.places.trees}/nightly/web/boot"
    assert trial.held()
    trial.machine.broken.clear()
    assert all(outcome.ok for outcome in trial.recover())
    assert trial.state() == trial.before


def assert_recovered(trial: Trial, fault: object) -> None:
    for outcome in trial.recover():
        assert outcome.ok, (fault, outcome.sentence)
    assert not trial.held(), (fault, trial.held())
    assert trial.state() == trial.before, fault
    assert trial.recover() == []


def test_an_origin_that_a_killed_lvcreate_left_suspended_is_resumed(shapes, new_folder):
    trial = shapes["a logical volume"].trial(new_folder())
    lvcreate = next(number for number, argv in commands_of(trial) if argv[0] == "lvcreate")
    trial = shapes["a logical volume"].trial(new_folder())
    trial.in_another_process(Trial.run, Fault(lvcreate, Kind.DIE_AFTER))
    trial.machine.kernel.suspended |= {"hostvg-web", "hostvg-web-real"}
    assert_recovered(trial, lvcreate)


def commands_of(trial: Trial) -> list[tuple[int, tuple[str, ...]]]:
    trial.run()
    return list(enumerate(trial.machine.commands))


def test_nothing_is_undone_while_a_command_of_the_dead_run_is_still_at_work(shapes, new_folder, mocker):
    trial = shapes["a logical volume"].trial(new_folder())
    lvcreate = next(number for number, argv in commands_of(trial) if argv[0] == "lvcreate")
    trial = shapes["a logical volume"].trial(new_folder())
    trial.in_another_process(Trial.run, Fault(lvcreate, Kind.DIE_AFTER))
    mocker.patch.object(trial.machine, "still_running", return_value=[4711])
    held, state = trial.held(), trial.state()
    [outcome] = trial.recover()
    assert outcome.code == ExitCode.STILL_HELD
    assert "4711" in outcome.sentence
    assert (trial.held(), trial.state()) == (held, state)
    mocker.stopall()
    assert_recovered(trial, lvcreate)


def test_an_overflow_fails_the_post_even_after_the_lease_has_ended(shapes, new_folder):
    trial = shapes["a logical volume"].trial(new_folder())
    assert trial.pre().ok
    for name, volume in trial.machine.kernel.volumes.items():
        volume.invalid = "/hs_" in name
    trial.machine.kernel.boot += 1
    [outcome] = trial.post()
    assert outcome.code == ExitCode.BACKUP_FAILED
    assert "overflowed" in outcome.sentence
    assert not trial.held()
