"""``pre --within``: whatever hangs or takes its time, a caller's limit is kept, and all is let go of by then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdstill.errors import ExitCode, StillHeldError, UnavailableError
from holdstill.journal.journal import Journal
from holdstill.run.outcome import Outcome
from holdstill.testing import Fault, Kind, Trial, every_point

pytestmark = pytest.mark.usefixtures("no_log")

WITHIN = 80.0
"Modelled seconds: less than a slow command takes, so that it is ended."
SHAPES = [
    "an image that is copied",
    "a qcow2 image that is copied, with kpartx",
    "a logical volume",
    "a mirror and a thin volume in an image",
    "a guest's volume group, activated",
    "file systems that must be looked into",
    "two guests at one moment",
]
"Those that run all commands that there are."


@pytest.fixture(params=SHAPES)
def shape(request, shapes):
    return shapes[request.param]


def pre_of(trial: Trial) -> Outcome:
    return trial.pre(within=WITHIN)


def faults(shape, new_folder, kind: Kind) -> Iterator[tuple[Fault, Trial]]:
    """Give a machine for each command of a ``pre`` at which something can go wrong in that way."""
    assert pre_of(shape.trial(new_folder())).ok
    for fault in every_point(lambda: shape.trial(new_folder()), pre_of, [kind]):
        trial = shape.trial(new_folder())
        trial.machine.fault = fault
        yield fault, trial


@pytest.mark.parametrize("kind", [Kind.HANG, Kind.SLOW])
def test_whatever_hangs_or_is_slow_pre_fails_in_time_and_holds_nothing(shape, new_folder, kind):
    for fault, trial in faults(shape, new_folder, kind):
        outcome = pre_of(trial)
        assert trial.machine.spent <= WITHIN, (fault, trial.machine.spent)
        if outcome.ok:  # a question that may go unanswered
            assert all(one.ok for one in trial.post())
        trial.machine.let_end()
        assert_nothing_is_left(trial, fault)


def test_what_cannot_be_ended_is_left_to_itself_in_time_and_told(shape, new_folder):
    for fault, trial in faults(shape, new_folder, Kind.STUCK):
        trial.machine.patient = False
        outcome = pre_of(trial)
        assert trial.machine.spent <= WITHIN, (fault, trial.machine.spent)
        assert not outcome.ok
        assert not trial.held() or outcome.code == ExitCode.STILL_HELD
        trial.machine.let_end()
        assert_nothing_is_left(trial, fault)


def assert_nothing_is_left(trial: Trial, fault: object) -> None:
    for outcome in trial.recover():
        assert outcome.ok, (fault, outcome.sentence)
    assert not trial.held(), (fault, trial.held())
    assert trial.state() == trial.before, fault


def number_of(trial: Trial, name: str) -> int:
    pre_of(trial)
    return next(number for number, argv in enumerate(trial.machine.commands) if argv[0] == name)


def slow(shape, new_folder, name: str, within: float | None) -> tuple[Trial, Outcome]:
    """Have one command take its time in a ``pre``; give the machine, and the outcome."""
    fault = Fault(number_of(shape.trial(new_folder()), name), Kind.SLOW)
    trial = shape.trial(new_folder())
    trial.machine.fault = fault
    return trial, trial.pre(within=within)


def test_a_limit_that_is_long_enough_changes_nothing(shapes, new_folder):
    trial, outcome = slow(shapes["a logical volume"], new_folder, "lvcreate", 240)
    assert outcome.ok, outcome.sentence
    assert trial.held()


def test_it_says_what_took_so_long_and_how_long_it_had(shapes, new_folder):
    _, outcome = slow(shapes["a logical volume"], new_folder, "mount", 40)
    assert outcome.code == ExitCode.UNAVAILABLE
    assert outcome.sentence == (
        "guest web, open: mount: It was not done within 30s, and was ended: of the 40s that the caller gives, the rest "
        "is for letting go."
    )


def test_letting_go_is_tried_again_in_the_time_that_is_kept_for_it(shapes, new_folder, mocker):
    shape = shapes["a logical volume"]
    mount = number_of(shape.trial(new_folder()), "mount")
    trial = shape.trial(new_folder())
    trial.machine.fault, pause = Fault(mount, Kind.SLOW), trial.machine.pause
    trial.machine.broken.add("lvremove")

    def mend_meanwhile(seconds, *, until=()):
        trial.machine.broken.clear()
        return pause(seconds, until=until)

    mocker.patch.object(trial.machine, "pause", mend_meanwhile)
    assert trial.pre(within=40).code == ExitCode.UNAVAILABLE
    assert trial.machine.spent <= 40
    assert trial.state() == trial.before


def test_a_command_of_lvm_is_not_killed_and_its_end_is_waited_for(shapes, new_folder):
    """In 100 seconds, of which it is told to end at the 90th, and has the time up to the 105th."""
    trial, outcome = slow(shapes["a logical volume"], new_folder, "lvcreate", 120)
    assert outcome.code == ExitCode.UNAVAILABLE
    assert not trial.machine.kernel.suspended
    assert trial.state() == trial.before


def test_a_command_of_lvm_that_does_not_end_is_left_to_itself(shapes, new_folder):
    trial, outcome = slow(shapes["a logical volume"], new_folder, "lvcreate", 100)
    assert "was left to itself" in outcome.sentence
    assert outcome.code == ExitCode.STILL_HELD
    trial.machine.let_end()
    assert_nothing_is_left(trial, "lvcreate")


def test_what_dead_runs_left_is_let_go_of_within_the_limit_or_not_at_all(shapes, new_folder):
    trial = shapes["a logical volume"].trial(new_folder())
    assert trial.pre().ok
    trial.machine.kernel.boot += 1
    trial.machine.opened.add(f"{trial.places.trees}/nightly/web/boot")
    with pytest.raises(StillHeldError, match=r"cannot run: its run .* still holds"):
        trial.pre(within=20)
    assert trial.machine.spent <= 20
    trial.machine.opened.clear()
    assert trial.pre().ok


def test_what_somebody_else_works_on_is_waited_for_within_the_limit(shapes, new_folder):
    trial = shapes["a logical volume"].trial(new_folder())
    assert trial.pre().ok
    [path] = (trial.places.state / "journals").glob("*.jsonl")
    journal = Journal.take(path)
    assert journal
    with pytest.raises(UnavailableError, match=r"It was not done within 7\.5s"):
        trial.pre(within=10)
    assert trial.machine.spent <= 10
    journal.leave()
