"""Plugins around a job: named for all jobs or for one, with options that whoever lets go knows as well."""

from __future__ import annotations

import json

import msgspec
import pytest

from holdstill.errors import ConfigError
from holdstill.plugin import Complaint, Duration, Size, UnavailableError, hookimpl
from holdstill.plugins.load import Found
from holdstill.testing import plain_disk
from holdstill.testing.kernel import READER
from holdstill.testing.machine import Machine
from holdstill.testing.trial import Trial

CONFIGURATION = """
guests:
  web: {disks: [/dev/hostvg/web], open: []}
jobs:
  nightly: {guests: [web], release-within: 10s, backup: {command: {run: backup-program}}}
"""


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    word: str = "none"
    grace_time: Duration = Duration(90)
    room: Size = Size(5, "FREE")


class Listener:
    """A plugin that takes part in two phases, and promises something for afterwards."""

    def __init__(self, story: list[str]) -> None:
        self.story = story
        self.complaints: list[Complaint] = []
        self.fails = 0

    @hookimpl
    def holdstill_options(self):
        return Options

    @hookimpl
    def holdstill_check(self, steps):
        self.story += [f"check {step.options.word}" for step in steps]
        return self.complaints

    @hookimpl(wrapper=True)
    def holdstill_release(self, run):
        step = run.around("listener")
        told = f"{step.options.word} {step.options.grace_time} {step.options.room}" if step else "without it"
        self.story.append(f"release {told}")
        if step:
            run.hold("listener").promise(
                "a service", by_hand="start it", afterwards=True, service=step.options.word
            )
        return (yield)

    @hookimpl
    def holdstill_finished(self, run):
        self.story.append(f"finished {run.folder_of('listener').is_dir()}")

    @hookimpl
    def holdstill_undo(self, facts, host):
        self.story.append(
            f"start {facts['service']}, snapshots: {sum('hs_' in name for name in host.kernel.volumes)}"
        )
        if self.fails:
            self.fails -= 1
            raise UnavailableError("it does not start")


@pytest.fixture
def story() -> list[str]:
    return []


@pytest.fixture
def listener(story) -> Listener:
    return Listener(story)


@pytest.fixture
def new_trial(tmp_path, listener):
    def make(site: str = "", job: str = "") -> Trial:
        machine = Machine(tmp_path)
        machine.add_volume("hostvg/web", plain_disk())
        machine.programs["backup-program"] = lambda _trees: 0
        configuration = f"{CONFIGURATION.rstrip()[:-1]}{job}}}\n{site}"
        return Trial(machine, configuration, (Found(name="listener", origin="the test", plugin=listener),))

    return make


def options_of(story: list[str]) -> list[str]:
    return [line for line in story if line.startswith("release")]


def test_a_job_that_does_not_name_it_has_no_options_for_it(new_trial, story):
    assert new_trial().run().ok
    assert options_of(story) == ["release without it"]


def test_what_is_named_for_all_jobs_is_around_each(new_trial, story):
    assert new_trial(site="around: [listener: {word: all}]").run().ok
    assert "check all" in story
    assert options_of(story) == ["release all 90s 5%FREE"]


def test_a_jobs_own_entry_replaces_that_of_all_jobs(new_trial, story):
    assert new_trial(site="around: listener", job=", around: [listener: {word: own}]").run().ok
    assert options_of(story) == ["release own 90s 5%FREE"]


@pytest.mark.parametrize(
    ("around", "sentence"),
    [
        ("[mount]", "around: the plugin 'mount' does not do that"),
        ("[tar]", "around: the plugin 'tar' does not do that"),
        ("[listner]", "around: there is no plugin 'listner'; did you mean 'listener'?"),
        ("[listener, listener]", "'listener' is named twice"),
        ("[listener: {wrd: x}]", "jobs.nightly.around.0.listener has no key 'wrd'; did you mean 'word'?"),
        ("[holdstill]", "around: the plugin 'holdstill' does not do that"),
    ],
)
def test_what_cannot_be_around_a_job_is_said(new_trial, around, sentence):
    with pytest.raises(ConfigError) as failed:
        new_trial(job=f", around: {around}").run()
    assert sentence in str(failed.value)


def test_its_complaints_stop_the_run_before_anything_is_held(new_trial, listener):
    listener.complaints = [Complaint("no such service")]
    trial = new_trial(site="around: listener")
    outcome = trial.run()
    assert "no such service" in outcome.sentence
    assert trial.state() == trial.before


def test_post_and_recover_know_the_options_without_reading_the_configuration(new_trial, story):
    trial = new_trial(site="around: [listener: {word: kept, grace-time: 5m, room: 1G}]")
    assert trial.pre().ok
    trial.places.config.unlink()
    [outcome] = trial.post()
    assert outcome.ok
    assert story.count("release kept 5m 1.0 GiB") == 1


def test_options_that_the_plugin_does_not_take_any_more_stop_no_release(new_trial, story):
    trial = new_trial(site="around: [listener: {word: kept}]")
    assert trial.pre().ok
    [journal] = (trial.places.state / "journals").glob("*.jsonl")
    journal.write_text(journal.read_text().replace('"word":"kept"', '"word":7'))
    [outcome] = trial.post()
    assert outcome.ok
    assert options_of(story) == ["release without it"]
    assert trial.state() == trial.before


def test_what_is_promised_for_afterwards_is_kept_when_all_else_is(new_trial, story):
    assert new_trial(site="around: [listener: {word: bacula}]").run().ok
    assert story[-2:] == ["start bacula, snapshots: 0", "finished True"]


def test_it_is_kept_also_when_something_cannot_be_let_go_of(new_trial, story):
    trial = new_trial(site="around: [listener: {word: bacula}]")
    trial.machine.broken.add("lvremove")
    outcome = trial.run()
    assert [held.what for held in outcome.still_held] != []
    assert "start bacula, snapshots: 1" in story
    assert trial.held() == [held.what for held in outcome.still_held]


def test_it_is_tried_again_when_it_fails(new_trial, listener, story):
    listener.fails = 3
    assert new_trial(site="around: [listener: {word: bacula}]").run().ok
    assert story.count("start bacula, snapshots: 0") == 4


def test_one_that_fails_to_the_end_is_still_held(new_trial, listener):
    listener.fails = 10**6
    outcome = new_trial(site="around: [listener: {word: bacula}]").run()
    assert [(held.what, held.by_hand, held.why) for held in outcome.still_held] == [
        ("a service", "start it", "it does not start")
    ]


def test_it_is_kept_by_a_recovery(new_trial, story):
    trial = new_trial(site="around: [listener: {word: bacula}]")
    trial.machine.broken.add("lvremove")
    trial.run()
    trial.machine.broken.clear()
    story.clear()
    [outcome] = trial.recover()
    assert outcome.ok
    assert trial.state() == trial.before


# Who keeps things open


def snapshot_of(trial: Trial) -> str:
    [name] = [name for name in trial.machine.kernel.volumes if "hs_" in name]
    return f"/dev/{name}"


def test_who_keeps_a_snapshot_open_is_named_with_it(new_trial):
    trial = new_trial()
    assert trial.pre().ok
    trial.machine.opened.add(snapshot_of(trial))
    [outcome] = trial.post()
    [held] = [held for held in outcome.still_held if held.kept_open_by]
    assert held.what.startswith("snapshot")
    assert f"kept open by reader (pid {READER}, open file) at {snapshot_of(trial)}" in held.why
    [journal] = (trial.places.state / "journals").glob("*.jsonl")
    told = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [f"reader (pid {READER}, open file) at {snapshot_of(trial)}"] in [line.get("by") for line in told]


def test_what_is_open_is_waited_for_up_to_the_limit_and_looked_at_more_often_than_tried(new_trial):
    trial = new_trial()
    assert trial.pre().ok
    trial.machine.opened.add(snapshot_of(trial))
    trial.machine.commands.clear()
    trial.post()
    assert 10 <= trial.machine.spent < 11
    tries = sum(command[0] == "lvremove" for command in trial.machine.commands)
    assert tries == 3, "at once, after five seconds, and at the end"


class Reader(Machine):
    """A machine on which whoever has things open closes them after a while."""

    def pause(self, seconds, *, until=()):
        if self.spent > 3:
            self.opened.clear()
        return super().pause(seconds, until=until)


def test_letting_go_is_tried_as_soon_as_the_last_one_has_gone(tmp_path):
    machine = Reader(tmp_path)
    machine.add_volume("hostvg/web", plain_disk())
    machine.programs["backup-program"] = lambda _trees: 0
    trial = Trial(machine, CONFIGURATION)
    assert trial.pre().ok
    machine.opened.add(snapshot_of(trial))
    [outcome] = trial.post()
    assert outcome.ok
    assert machine.spent < 4
