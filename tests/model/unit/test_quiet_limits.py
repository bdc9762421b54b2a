"""How long applications may be quiet, and what becomes of a job in which one is not."""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial

import msgspec
import pytest

from holdstill.errors import ExitCode
from holdstill.plugin import BackupError, NoOptions, QuiesceOptions, hookimpl
from holdstill.plugins.load import Found
from holdstill.run.start import new_info, resolve
from holdstill.testing import Trial, every_death, plain_disk
from holdstill.testing.machine import Machine

GUEST = "guests: {{web: {{disks: [/dev/hostvg/web], snapshot: still, open: [], quiesce: [{}]}}}}\n"
JOB = "jobs: {{nightly: {{guests: [web], backup: {{command: {{run: backup-program}}}}{}}}}}\n"


class Application:
    """One that can be made quiet; it may fail when it is entered or left, and keeps a text."""

    def __init__(self, story: list[str], name: str) -> None:
        self.story, self.name = story, name
        self.fails_on_entering = self.fails_on_leaving = self.keeps = False
        self.times: tuple[float, float] = (0, 0)

    @hookimpl
    def holdstill_options(self):
        return QuiesceOptions

    @hookimpl
    @contextmanager
    def holdstill_quiesce(self, step, hold):
        self.times = (step.options.within, step.options.at_most)
        if self.fails_on_entering:
            raise BackupError("it has no time")
        self.story.append(f"{self.name} quiet")
        try:
            yield
        finally:
            self.story.append(f"{self.name} let go")
            if self.fails_on_leaving:
                raise BackupError("it has let go before")
        if self.keeps:
            hold.keep("position", "binlog.7 4711\n")


class Strange(Application):
    """One whose options say nothing of its time."""

    @hookimpl
    def holdstill_options(self):
        return NoOptions

    @hookimpl
    @contextmanager
    def holdstill_quiesce(self):
        self.story.append(f"{self.name} quiet")
        yield


class Still:
    """A snapshot plugin that takes so many seconds."""

    seconds = 0.0

    def __init__(self, story: list[str]) -> None:
        self.story = story

    @hookimpl
    def holdstill_snapshot(self, steps):
        return tuple(partial(self._made, step) for step in steps)

    def _made(self, step, _hold):
        ends = time.monotonic() + self.seconds
        while time.monotonic() < ends:
            time.sleep(0.001)
        self.story.append("snapshot")
        return tuple(msgspec.structs.replace(disk) for disk in step.disks)


class Site:
    """A machine with a guest that has two applications and a stranger's."""

    def __init__(self, root) -> None:
        self.story: list[str] = []
        self.applications = {name: Application(self.story, name) for name in ("db", "cache")}
        self.still = Still(self.story)
        self.root = root

    def trial(self, quiesce: str = "db, cache", job: str = "") -> Trial:
        machine = Machine(self.root)
        machine.add_volume("hostvg/web", plain_disk())
        machine.programs["backup-program"] = lambda _: 0
        plugins = {**self.applications, "strange": Strange(self.story, "strange"), "still": self.still}
        found = tuple(Found(name=name, origin="a test", plugin=plugin) for name, plugin in plugins.items())
        return Trial(machine, GUEST.format(quiesce) + JOB.format(job), found)


@pytest.fixture
def site(tmp_path):
    root = tmp_path / "machine"
    root.mkdir()
    return Site(root)


def test_each_application_is_measured(site):
    outcome = site.trial().run()
    assert outcome.ok
    assert [(one.guest, one.plugin, one.why_not) for one in outcome.applications] == [
        ("web", "cache", ""),
        ("web", "db", ""),
    ]
    assert all(0 < one.seconds <= outcome.quiet_seconds["web"] for one in outcome.applications)


def test_post_tells_what_its_pre_measured(site):
    trial = site.trial()
    held = trial.pre()
    [outcome] = trial.post()
    assert outcome.applications == held.applications != []


@pytest.mark.parametrize("when", ["fails_on_entering", "fails_on_leaving"])
def test_one_that_is_not_quiet_fails_the_job_and_all_others_are_let_go(site, when):
    setattr(site.applications["cache"], when, True)
    trial = site.trial()
    outcome = trial.run()
    assert outcome.code == ExitCode.BACKUP_FAILED
    assert outcome.sentence.startswith("guest web, quiesce: cache: it has")
    assert site.story[-1] == "db let go"
    assert trial.state() == trial.before


@pytest.mark.parametrize("when", ["fails_on_entering", "fails_on_leaving"])
def test_a_job_can_go_on_crash_consistent_and_says_why(site, when):
    setattr(site.applications["cache"], when, True)
    outcome = site.trial("db, cache: {if-not-quiet: crash-consistent}").run()
    assert outcome.ok
    assert [(one.plugin, one.why_not[:6]) for one in outcome.crash_consistent] == [("cache", "it has")]
    assert site.story.index("db quiet") < site.story.index("snapshot") < site.story.index("db let go")


def test_a_snapshot_that_fails_is_the_failure_that_is_told(site):
    def fails(_step, _hold):
        raise BackupError("no room")

    site.still._made = fails
    site.applications["cache"].fails_on_leaving = True
    outcome = site.trial().run()
    assert "no room" in outcome.sentence
    assert site.story == ["db quiet", "cache quiet", "cache let go", "db let go"]


def test_one_that_was_held_for_longer_than_it_stays_quiet_was_not_quiet(site):
    site.still.seconds = 0.01
    outcome = site.trial("db: {at-most: 0.005}").run()
    assert "longer than it stays quiet (0.005s)" in outcome.sentence


def test_its_times_are_those_of_its_options(site):
    site.trial("db: {within: 7, at-most: 3}").run()
    assert site.applications["db"].times == (7, 3)


def test_a_budget_shortens_them(site):
    site.trial("db: {within: 700, at-most: 3}", ", quiet-budget: 5m").run()
    within, at_most = site.applications["db"].times
    assert 0 < within <= 300
    assert at_most == 3


def test_when_the_budget_is_used_up_nothing_more_is_made_quiet(site):
    outcome = site.trial(job=", quiet-budget: 0").run()
    assert "'quiet-budget' was used up" in outcome.sentence
    assert site.story == []


def test_a_strangers_plugin_is_held_to_the_budget_too(site):
    site.still.seconds = 1.2
    outcome = site.trial("strange", ", quiet-budget: 1").run()
    assert "longer than it stays quiet" in outcome.sentence


def test_what_is_kept_is_beside_the_trees_and_in_the_outcome(site):
    site.applications["db"].keeps = True
    trial = site.trial()
    held = trial.pre()
    assert held.kept == {"web@position": "binlog.7 4711\n"}
    assert (trial.places.trees / "nightly" / "web@position").read_text() == "binlog.7 4711\n"
    trial.post()
    assert trial.state() == trial.before


@pytest.mark.usefixtures("no_log")
def test_what_is_kept_is_gone_after_a_death_at_any_moment(site):
    site.applications["db"].keeps = True
    trial = site.trial()
    for command in every_death(trial, Trial.run):
        assert all(outcome.ok for outcome in trial.recover()), command
        assert trial.state() == trial.before, command


def test_a_plan_makes_nothing_quiet(site):
    from holdstill.run.plan import plan

    trial = site.trial()
    info = new_info(trial.site, "nightly")
    made = plan(trial.site, info, resolve(trial.site, info))
    assert "# guest web, quiesce: db, around the snapshot" in made.expose
    assert not [line for line in site.story if line != "snapshot"]
