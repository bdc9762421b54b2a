"""A ``post`` that comes while its ``pre`` is still at work: whatever that is at, it lets go, and hands nothing over."""

from __future__ import annotations

import itertools

import pytest

from holdstill.errors import ExitCode
from holdstill.journal.journal import Journal
from holdstill.journal.unwanted import ENDING, is_unwanted, say_unwanted
from holdstill.plugin import hookimpl
from holdstill.plugins.load import Found
from holdstill.run import conduct
from holdstill.testing import Trial, classic_disk
from holdstill.testing.machine import Machine

pytestmark = pytest.mark.usefixtures("no_log")

CONFIGURATION = """
guests: {web: {disks: [/dev/hostvg/web]}}
jobs: {nightly: {guests: [web]}}
"""


class Impatient:
    """Calls ``post`` as soon as all is open, as another process would."""

    trial: Trial | None = None
    session = "default"

    @hookimpl
    def holdstill_expose(self):
        self.told = self.trial.post(session=self.session) if self.trial else []


@pytest.fixture
def impatient():
    return Impatient()


@pytest.fixture
def trial(tmp_path, impatient):
    machine = Machine(tmp_path)
    machine.add_volume("hostvg/web", classic_disk())
    impatient.trial = Trial(
        machine, CONFIGURATION, (Found(name="impatient", origin="the test", plugin=impatient),)
    )
    return impatient.trial


def words(trial):
    return list((trial.places.state / "journals").glob(f"*{ENDING}"))


def test_pre_hands_nothing_over_when_post_has_given_up(trial, impatient):
    outcome = trial.pre()
    assert [one.code for one in impatient.told] == [ExitCode.UNAVAILABLE]
    assert "which lets go of it when it can" in impatient.told[0].sentence
    assert outcome.code == ExitCode.UNAVAILABLE
    assert "«holdstill post nightly» was called before this «pre» was done" in outcome.sentence
    assert (trial.held(), trial.state(), words(trial)) == ([], trial.before, [])


def test_the_next_pre_is_wanted(trial, impatient):
    trial.pre()
    impatient.trial = None
    assert trial.pre().ok
    assert all(outcome.ok for outcome in trial.post())


def test_post_of_another_session_is_not_meant(trial, impatient):
    impatient.session = "another"
    assert trial.pre().ok
    assert trial.held()


@pytest.mark.parametrize(
    "name", ["a logical volume", "two guests at one moment", "an application that a command makes quiet"]
)
def test_from_any_moment_on_word_is_heard_and_nothing_stays_held(shapes, new_folder, monkeypatch, name):
    for unwanted_from in itertools.count():
        trial = shapes[name].trial(new_folder())
        looks = itertools.count()
        monkeypatch.setattr(conduct, "is_unwanted", lambda *_, at=unwanted_from, n=looks: next(n) >= at)
        outcome = trial.pre()
        if outcome.ok:
            break
        assert outcome.code == ExitCode.UNAVAILABLE, unwanted_from
        assert (trial.held(), trial.state()) == ([], trial.before), unwanted_from
    assert unwanted_from > len(trial.machine.commands) / 2, "it looks before each command"
    assert trial.held()


def test_word_that_comes_while_it_is_handed_over_is_heard(trial, impatient, monkeypatch):
    """A ``post`` that looks now finds a hold that somebody still works on, and goes."""
    impatient.trial = None
    hand_over = Journal.hand_over

    def late(journal, *arguments, **more):
        say_unwanted(trial.places.state, journal.path.stem)
        hand_over(journal, *arguments, **more)

    monkeypatch.setattr(Journal, "hand_over", late)
    outcome = trial.pre()
    assert outcome.code == ExitCode.UNAVAILABLE
    assert (trial.held(), trial.state(), words(trial)) == ([], trial.before, [])


def test_word_that_comes_in_the_last_moment_finds_a_hold_that_anybody_can_let_go_of(trial, impatient):
    """After the last look of ``pre``."""
    impatient.trial = None
    assert trial.pre().ok
    [held] = trial.site.holds()
    say_unwanted(trial.places.state, held.run)
    assert [outcome.ok for outcome in trial.post()] == [True]
    assert (trial.held(), words(trial)) == ([], [])


def test_recover_forgets_what_was_said_to_runs_that_have_ended(trial, impatient):
    impatient.trial = None
    assert trial.pre().ok
    [held] = trial.site.holds()
    for run in (held.run, "20260102T013000Z5f3a"):
        say_unwanted(trial.places.state, run)
    assert trial.recover() == []
    assert is_unwanted(trial.places.state, held.run)
    assert [path.stem for path in words(trial)] == [held.run]
