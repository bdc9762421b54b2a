"""The order of quiescing, freezing, making snapshots and letting go again, for guests that are held at one moment."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial

import msgspec
import pytest

from holdstill.errors import ExitCode
from holdstill.plugin import BackupError, NoOptions, hookimpl
from holdstill.plugins.load import Found
from holdstill.testing import plain_disk
from holdstill.testing.machine import Machine
from holdstill.testing.trial import Trial

CONFIGURATION = """
guests:
  web: {disks: [/dev/hostvg/web], snapshot: still, quiesce: [first, second], open: []}
  db: {disks: [/dev/hostvg/db], snapshot: still, quiesce: [second], open: []}
jobs:
  apart: {guests: [web, db], backup: {command: {run: backup-program}}}
  together: {guests: [[web, db]], backup: {command: {run: backup-program}}}
"""


class Still:
    """A snapshot plugin that writes down what is asked of it."""

    def __init__(self, story: list[str], *, fails_at: str = "") -> None:
        self.story = story
        self.fails_at = fails_at

    def say(self, what: str) -> None:
        self.story.append(what)
        if what == self.fails_at:
            raise BackupError("it fails")

    @hookimpl
    def holdstill_options(self):
        return NoOptions

    @hookimpl
    def holdstill_snapshot(self, steps):
        self.say(f"ready for {' '.join(step.guest for step in steps)}")
        return tuple(partial(self._made, step) for step in steps)

    def _made(self, step, _hold):
        self.say(f"snapshot of {step.guest}")
        return tuple(msgspec.structs.replace(disk) for disk in step.disks)


class Freezing(Still):
    """One that can hold several disks at one moment."""

    @hookimpl
    @contextmanager
    def holdstill_freeze(self, disks):
        self.say("get ready to freeze")
        yield self._frozen(" ".join(disk.path for disk in disks))
        self.say("no more to watch")

    @contextmanager
    def _frozen(self, disks):
        self.say(f"freeze {disks}")
        try:
            yield
        finally:
            self.say("thaw")


class Quiesces:
    """A quiesce plugin that writes down when it is entered and left."""

    def __init__(self, name: str, story: list[str], *, fails: bool = False) -> None:
        self.name, self.story, self.fails = name, story, fails

    @hookimpl
    @contextmanager
    def holdstill_quiesce(self, step):
        self.story.append(f"{self.name} quiets {step.guest}")
        if self.fails:
            raise BackupError("it cannot be quieted")
        try:
            yield
        finally:
            self.story.append(f"{self.name} lets {step.guest} go")


@pytest.fixture
def new_trial(tmp_path):
    """A machine with two guests, and plugins that tell a story."""

    def make(story, *, snapshots=Freezing, fails_at="", second_fails=False):
        folder = tmp_path / "machine"
        folder.mkdir()
        machine = Machine(folder)
        for name in ("web", "db"):
            machine.add_volume(f"hostvg/{name}", plain_disk())
        machine.programs["backup-program"] = lambda _: story.append("backup") or 0
        plugins = {
            "still": snapshots(story, fails_at=fails_at),
            "first": Quiesces("first", story),
            "second": Quiesces("second", story, fails=second_fails),
        }
        found = tuple(Found(name=name, origin="a test", plugin=plugin) for name, plugin in plugins.items())
        return Trial(machine, CONFIGURATION, found)

    return make


def test_guests_by_themselves_are_quiet_one_after_the_other_and_never_frozen(new_trial):
    story: list[str] = []
    assert new_trial(story).run("apart").ok
    assert story == [
        "ready for web db",
        "first quiets web",
        "second quiets web",
        "snapshot of web",
        "second lets web go",
        "first lets web go",
        "second quiets db",
        "snapshot of db",
        "second lets db go",
        "backup",
    ]


def test_guests_together_are_all_quiet_then_frozen_then_snapped_and_left_in_reverse(new_trial):
    story: list[str] = []
    outcome = new_trial(story).run("together")
    assert outcome.ok
    assert story == [
        "ready for web db",
        "get ready to freeze",
        "first quiets web",
        "second quiets web",
        "second quiets db",
        "freeze /dev/hostvg/web /dev/hostvg/db",
        "snapshot of web",
        "snapshot of db",
        "thaw",
        "second lets db go",
        "second lets web go",
        "first lets web go",
        "no more to watch",
        "backup",
    ]
    assert set(outcome.frozen_seconds) == {"web", "db"}
    assert all(outcome.frozen_seconds[guest] <= outcome.quiet_seconds[guest] for guest in ("web", "db"))


@pytest.mark.parametrize("fails_at", ["snapshot of web", "snapshot of db", "thaw"])
def test_whatever_fails_inside_all_are_let_go(new_trial, fails_at):
    story: list[str] = []
    outcome = new_trial(story, fails_at=fails_at).run("together")
    assert not outcome.ok
    assert story[-4:] == ["thaw", "second lets db go", "second lets web go", "first lets web go"]


def test_one_that_cannot_be_quieted_stops_the_others_before_they_are_frozen(new_trial):
    story: list[str] = []
    outcome = new_trial(story, second_fails=True).run("together")
    assert not outcome.ok
    assert story[1:] == ["get ready to freeze", "first quiets web", "second quiets web", "first lets web go"]


def test_disks_that_no_plugin_can_hold_at_one_moment_are_refused_before_anything_is_quiet(new_trial):
    story: list[str] = []
    trial = new_trial(story, snapshots=Still)
    outcome = trial.run("together")
    assert outcome.code == ExitCode.SNAPSHOT
    assert (
        "web, db: 2 disks must be held at one moment, which the plugin 'still' cannot do." in outcome.sentence
    )
    assert story == []
    assert trial.run("apart").ok


def test_a_plan_tells_what_is_frozen_together_and_freezes_nothing(new_trial):
    from holdstill.run.plan import plan
    from holdstill.run.start import new_info, resolve

    story: list[str] = []
    trial = new_trial(story)
    info = new_info(trial.site, "together")
    made = plan(trial.site, info, resolve(trial.site, info))
    assert "# frozen together while their snapshots are made: /dev/hostvg/web, /dev/hostvg/db" in made.expose
    assert not [line for line in story if line.startswith(("freeze", "first", "second"))]
