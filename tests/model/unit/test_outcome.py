"""What is told of a run at its end: measures, times that outlast its process, and that it could not begin."""

from __future__ import annotations

import pytest

from holdstill.errors import ExitCode, RunInterrupted, StillHeldError, StorageError, UnavailableError
from holdstill.journal.journal import Journal
from holdstill.journal.records import decode
from holdstill.plugin import hookimpl
from holdstill.plugins.load import Found
from holdstill.run import conduct
from holdstill.run.outcome import Measure, Outcome
from holdstill.run.start import new_info
from holdstill.testing import Trial, classic_disk
from holdstill.testing.machine import Machine

CONFIGURATION = """
guests:
  web: {disks: [/dev/hostvg/web]}
  db: {disks: [/dev/hostvg/db-1, /dev/hostvg/db-2], open: []}
jobs:
  nightly: {guests: [web, db], backup: {command: {run: backup-program}}, release-within: 0}
"""


class Stranger:
    """Measures something, hears of every end, and can keep everything from being let go of."""

    def __init__(self):
        self.answer: object = None
        self.stuck = False
        self.heard: list[Outcome] = []

    @hookimpl
    def holdstill_expose(self, run):
        run.hold("stranger", "web").promise("a thing", by_hand="true")

    @hookimpl
    def holdstill_still(self):
        return self.answer

    @hookimpl
    def holdstill_undo(self):
        if self.stuck:
            raise UnavailableError("it is in use")

    @hookimpl
    def holdstill_finished(self, outcome):
        self.heard.append(outcome)


@pytest.fixture
def stranger():
    return Stranger()


@pytest.fixture
def trial(tmp_path, stranger):
    """A job of two guests on a modelled machine."""
    machine = Machine(tmp_path)
    for name in ("web", "db-1", "db-2"):
        machine.add_volume(f"hostvg/{name}", classic_disk())
    machine.programs["backup-program"] = lambda _trees: 0
    return Trial(machine, CONFIGURATION, (Found(name="stranger", origin="the test", plugin=stranger),))


# Measures


def test_what_a_plugin_measured_is_told_with_its_guest(trial, stranger):
    stranger.answer = {"open_files": 3, "share_ratio": 0.5}
    measured = [measure for measure in trial.run().measures if measure.what == "a thing"]
    assert measured == [
        Measure(name="open_files", value=3.0, guest="web", what="a thing"),
        Measure(name="share_ratio", value=0.5, guest="web", what="a thing"),
    ]


def test_how_full_each_snapshot_was_is_told_with_the_volume(trial):
    measured = [measure for measure in trial.run().measures if measure.name == "snapshot_fill_ratio"]
    assert sorted(measure.guest for measure in measured) == ["db", "db", "web"]
    assert all(measure.what.startswith("snapshot hostvg/hs_") for measure in measured)


def test_a_thin_snapshot_has_no_room_of_its_own_to_measure(trial):
    for volume in trial.machine.kernel.volumes.values():
        volume.pool = "pool"
    trial.places.config.write_text(CONFIGURATION.replace(", /dev/hostvg/db-2", ""))
    outcome = trial.run()
    assert outcome.ok
    assert outcome.measures == []


@pytest.mark.parametrize("answer", [5, [1.0], {"Not a name": 1.0}, {"text": "many"}, {1: 1.0}], ids=str)
def test_nonsense_for_measures_is_a_defect_of_the_plugin_and_all_is_let_go_of(trial, stranger, answer):
    stranger.answer = answer
    outcome = trial.run()
    assert outcome.code == ExitCode.BUG
    assert "'stranger' answered holdstill_still with" in outcome.sentence
    assert trial.held() == []


# Times that outlast the process of pre


def test_post_tells_the_times_of_its_pre(trial):
    held = trial.pre()
    [outcome] = trial.post()
    assert outcome.seconds.items() >= {name: held.seconds[name] for name in ("prepare", "expose")}.items()
    assert outcome.quiet_seconds == held.quiet_seconds
    assert outcome.frozen_seconds == held.frozen_seconds
    assert set(outcome.frozen_seconds) == {"db"}
    assert not outcome.recovered


def test_when_a_run_began_is_told_by_whoever_ends_it(trial):
    trial.pre()
    [journal] = trial.places.state.glob("journals/*.jsonl")
    header = decode(journal.read_bytes().splitlines()[0])
    [outcome] = trial.post()
    assert outcome.started == header.started


def test_so_does_whoever_goes_on_after_a_post_that_failed(trial, stranger):
    held = trial.pre()
    stranger.stuck = True
    trial.post()
    stranger.stuck = False
    [outcome] = trial.recover()
    assert outcome.quiet_seconds == held.quiet_seconds
    assert outcome.recovered


def test_a_hand_over_of_an_older_release_tells_no_times():
    record = decode(b'{"record":"handed-over","lease_ends":5.0}')
    assert (record.lease_ends, record.seconds, record.quiet_seconds, record.frozen_seconds) == (
        5.0,
        {},
        {},
        {},
    )


def test_whoever_ends_a_lease_keeps_the_times(journal):
    journal.hand_over(1e12, seconds={"expose": 1.5})
    Journal.take(journal.path).leave()
    again = Journal.take(journal.path)
    assert (again.story.handed_over.lease_ends, again.story.handed_over.seconds) == (0, {"expose": 1.5})
    again.leave()


# Runs that cannot even begin


def test_everyone_is_told_of_a_run_that_another_hold_is_in_the_way_of(trial, stranger):
    trial.pre(session="other")
    with pytest.raises(UnavailableError):
        trial.run()
    [outcome] = stranger.heard
    assert [(failure.phase, failure.code) for failure in outcome.failures] == [
        ("prepare", ExitCode.UNAVAILABLE)
    ]
    assert outcome.job == "nightly"
    assert outcome.started > 0


def test_everyone_is_told_what_keeps_a_run_from_beginning_with_the_commands(trial, stranger):
    stranger.stuck = True
    trial.run()
    with pytest.raises(StillHeldError):
        trial.run()
    outcome = stranger.heard[-1]
    assert outcome.code == ExitCode.STILL_HELD
    assert [(held.what, held.by_hand) for held in outcome.still_held] == [("a thing", "true")]
    assert stranger.heard[0].run in outcome.still_held[0].why


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageError("the disk is full"), ExitCode.IO),
        (RuntimeError("a defect"), ExitCode.BUG),
        (RunInterrupted(15), 128 + 15),
    ],
    ids=repr,
)
def test_everyone_is_told_of_a_run_that_ended_before_it_began(trial, stranger, monkeypatch, error, code):
    def ends(*_arguments):
        raise error

    monkeypatch.setattr(conduct, "begin", ends)
    with pytest.raises(type(error)):
        trial.run()
    assert [outcome.code for outcome in stranger.heard] == [code]


def test_a_run_that_could_begin_is_told_of_once(trial, stranger):
    trial.machine.kernel.free["hostvg"] = 0
    trial.run()
    assert len(stranger.heard) == 1


def test_who_hears_of_the_end_is_not_stopped_by_a_signal(trial):
    site, heard = trial.site, []

    class Listener:
        @hookimpl
        def holdstill_finished(self):
            site.interruption.check()
            heard.append("the end")

    site.plugins.add(Found(name="listener", origin="the test", plugin=Listener()))
    trial.machine.programs["backup-program"] = lambda _trees: site.interruption._note(15, None) or 0
    conduct.run_job(site, new_info(site, "nightly"))
    assert heard == ["the end"]
    assert site.interruption.pending == 15
