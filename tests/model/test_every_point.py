"""Whatever fails, wherever a run dies: nothing is left that `recover` does not put right."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdstill.errors import ExitCode
from holdstill.run.release import TRY_AGAIN
from holdstill.run.start import new_info, resolve
from holdstill.testing import DEATHS, Fault, Kind, Trial, every_point, plugins_in
from holdstill.testing.conformance import Conformance, assert_recovered
from holdstill.words import Step

from .conftest import SHAPES

pytestmark = pytest.mark.usefixtures("no_log", "nothing_is_tended")


class TestBuiltIns(Conformance):
    """What a stranger's plugins must stand."""

    plugins = plugins_in(Path(__file__).parents[2])
    shapes = SHAPES


def test_every_built_in_plugin_takes_part(shapes, new_folder):
    used = {step.plugin for shape in shapes.values() for step in steps_of(shape.trial(new_folder()))}
    assert used == {found.name for found in TestBuiltIns.plugins}


def steps_of(trial: Trial) -> list[Step]:
    job = resolve(trial.site, new_info(trial.site, "nightly"))
    return [*(step for guest in job.guests for step in guest.steps), job.backup, *job.around]


@pytest.mark.parametrize("kind", DEATHS)
def test_a_process_that_is_really_killed_is_recovered(shapes, new_folder, kind):
    shape = shapes["two guests"]
    for fault in list(every_point(lambda: shape.trial(new_folder()), Trial.run, [kind]))[::3]:
        trial = shape.trial(new_folder())
        assert trial.in_another_process(Trial.run, fault) == 9, fault
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


def test_a_release_goes_on_as_soon_as_its_reader_has_gone(shapes, new_folder, mocker):
    trial = shapes["a logical volume"].trial(new_folder())
    machine = trial.machine
    assert trial.pre().ok
    machine.opened.add(f"{trial.places.trees}/nightly/web")
    pause = machine.pause

    def leave_meanwhile(seconds, *, until):
        machine.opened.clear()
        return pause(seconds, until=until)

    mocker.patch.object(machine, "pause", leave_meanwhile)
    [outcome] = trial.post()
    assert outcome.ok
    assert 0 < machine.spent < TRY_AGAIN


def test_a_defect_in_letting_go_is_told_as_what_it_leaves_held(shapes, new_folder, mocker):
    trial = shapes["a logical volume"].trial(new_folder())
    trial.machine.broken.add("umount")
    mocker.patch.object(trial.machine, "holders", side_effect=RuntimeError("can't start new thread"))
    outcome = trial.run()
    assert outcome.code == ExitCode.STILL_HELD
    assert {failure.code for failure in outcome.failures} == {ExitCode.BUG}
    assert [held.what for held in reversed(outcome.still_held)] == trial.held()
    trial.machine.broken.clear()
    assert_recovered(trial, "nothing is kept open any more")


def test_nothing_is_backed_up_if_an_application_cannot_be_let_go_of_whatever_it_need_not_be(
    shapes, new_folder
):
    trial = shapes["an application that need not become quiet"].trial(new_folder())
    trial.machine.broken.add("unhush")
    outcome = trial.run()
    assert outcome.code == ExitCode.STILL_HELD
    assert "quiesce: before-and-after: «unhush» failed" in outcome.sentence
    assert ("backup-program",) not in [argv[:1] for argv in trial.machine.commands]
    trial.machine.broken.clear()
    assert_recovered(trial, "cannot let its application go")


def test_what_could_not_be_let_go_of_at_first_is_let_go_of_before_the_backup(shapes, new_folder):
    trial = shapes["an application that need not become quiet"].trial(new_folder())
    first = next(number for number, argv in commands_of(trial) if argv[0] == "unhush")
    trial = shapes["an application that need not become quiet"].trial(new_folder())
    trial.machine.fault = Fault(first, Kind.FAIL)
    outcome = trial.run()
    assert outcome.ok, outcome.sentence
    [not_quiet] = outcome.crash_consistent
    assert "«unhush» failed" in not_quiet.why_not
    assert not trial.machine.frozen_while_read


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


def test_a_backup_that_fails_says_so_if_what_it_read_did_not_hold(shapes, new_folder):
    trial = shapes["a logical volume"].trial(new_folder())

    def overflow(_trees):
        for name, volume in trial.machine.kernel.volumes.items():
            volume.invalid = "/hs_" in name
        return 1

    trial.machine.programs["backup-program"] = overflow
    outcome = trial.run()
    assert outcome.code == ExitCode.BACKUP_FAILED
    assert "backup-program" in outcome.sentence
    assert "overflowed" in outcome.sentence


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
