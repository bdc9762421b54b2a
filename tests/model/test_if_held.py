"""``if-held``: what a run does that finds its job held for somebody else, who may be dead, or may read it."""

from __future__ import annotations

import pytest

from holdstill.errors import ExitCode, StillHeldError, UnavailableError
from holdstill.journal.journal import Journal
from holdstill.journal.shelf import journals_in
from holdstill.run.plan import pretend
from holdstill.run.prepare import complaints_of
from holdstill.run.start import new_info, resolve
from holdstill.testing import classic_disk, every_death, trial_in

CONFIGURATION = """
guests:
  web: {disks: [/dev/hostvg/web]}
jobs:
  nightly: {guests: [web], backup: {command: {run: backup-program}}, release-within: 2, if-held: IF_HELD}
"""
pytestmark = pytest.mark.usefixtures("no_log")


@pytest.fixture
def new_trial(new_folder):
    """A job with that ``if-held`` on a modelled machine, held for a session ``old``."""

    def make(if_held):
        trial = trial_in(
            new_folder(),
            CONFIGURATION.replace("IF_HELD", if_held),
            lambda machine: machine.add_volume("hostvg/web", classic_disk()),
        )
        trial.machine.programs["backup-program"] = lambda _trees: 0
        assert trial.pre(session="old").ok
        return trial

    return make


def sessions(trial):
    return [held.story.header.session for held in trial.site.holds()]


def read_by_somebody(trial):
    trial.machine.opened.add(f"{trial.places.trees}/nightly/web/boot")


def test_unless_the_site_says_otherwise_it_is_refused(new_trial):
    trial = new_trial("fail")
    with pytest.raises(UnavailableError, match="is held for the session 'old'"):
        trial.pre(session="new")
    assert sessions(trial) == ["old"]
    assert trial.machine.spent == 0, "there is nothing to wait for"


def test_what_another_process_lets_go_of_is_waited_for_whoever_reads_it(new_trial, mocker):
    trial = new_trial("release")
    [held] = trial.site.holds()
    other, pause = Journal.take(held.path), trial.machine.pause
    read_by_somebody(trial)

    def finish_meanwhile(seconds):
        if trial.machine.opened:
            trial.machine.opened.clear()
            other.leave()
            trial.recover()
        return pause(seconds)

    mocker.patch.object(trial.machine, "pause", finish_meanwhile)
    assert trial.pre(session="new").ok
    assert sessions(trial) == ["new"]


def test_a_check_of_a_held_job_does_not_have_its_tree_removed(new_trial):
    site = new_trial("fail").site
    info = new_info(site, "nightly")
    [complaint] = complaints_of(pretend(site, info, resolve(site, info)))
    assert "If «holdstill held nightly» tells of no hold, remove it." in complaint.sentence


@pytest.mark.parametrize("if_held", ["release", "take"])
def test_what_nobody_reads_is_let_go_of_first(new_trial, if_held):
    trial = new_trial(if_held)
    assert trial.pre(session="new").ok
    assert sessions(trial) == ["new"]
    [outcome] = trial.post(session="new")
    assert outcome.ok
    assert not trial.held()


def test_a_whole_run_takes_over_as_well(new_trial):
    trial = new_trial("release")
    assert trial.run().ok
    assert trial.state() == trial.before


def test_what_somebody_reads_is_left_alone_and_it_is_said_who_reads_it(new_trial):
    trial = new_trial("release")
    read_by_somebody(trial)
    before = trial.state()
    with pytest.raises(
        UnavailableError, match=r"'old'.* It is read by reader \(pid \d+, open file\) at .*/web/boot"
    ):
        trial.pre(session="new")
    assert (sessions(trial), trial.state()) == (["old"], before)
    trial.machine.opened.clear()
    [outcome] = trial.post(session="old")
    assert outcome.ok, outcome.sentence


def test_to_take_is_to_wait_for_who_reads_and_to_fail_where_that_is_for_ever(new_trial):
    trial = new_trial("take")
    read_by_somebody(trial)
    with pytest.raises(StillHeldError, match="still holds what could not be let go of"):
        trial.pre(session="new")
    trial.machine.opened.clear()
    assert trial.pre(session="new").ok
    assert sessions(trial) == ["new"]


def test_the_one_who_was_taken_for_dead_is_told_that_its_backup_is_not_good(new_trial):
    trial = new_trial("release")
    assert trial.pre(session="new").ok
    [outcome] = trial.post(session="old")
    assert outcome.code == ExitCode.BACKUP_FAILED
    assert "was let go of before its post came, as the session 'new' took over" in outcome.sentence
    assert sessions(trial) == ["new"]
    assert [one.ok for one in trial.post(session="new")] == [True]


def test_who_calls_again_for_its_own_session_is_told_nothing_of_the_kind(new_trial):
    trial = new_trial("release")
    assert trial.pre(session="old").ok
    assert [outcome.ok for outcome in trial.post(session="old")] == [True]


def test_what_another_process_works_on_is_never_taken(new_trial):
    trial = new_trial("take")
    [path] = journals_in(trial.places.state).glob("*.jsonl")
    journal = Journal.take(path)
    assert journal
    with pytest.raises(UnavailableError, match="another process is releasing run"):
        trial.pre(session="new")
    assert sessions(trial) == ["old"]
    journal.leave()


def test_a_take_over_that_dies_at_any_moment_is_recovered(new_trial):
    trial = new_trial("release")
    for command in every_death(trial, lambda one: one.pre(session="new")):
        trial.machine.kernel.boot += 1
        for outcome in trial.recover():
            assert outcome.ok, (command, outcome.sentence)
        assert not trial.held(), command
