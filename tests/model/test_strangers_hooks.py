"""Whatever a stranger's plugin does in any of its hooks: the run ends with a sentence, and nothing stays held."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial

import msgspec
import pytest

from holdstill import hookspecs
from holdstill.errors import ExitCode, HoldstillError, NotPlannableError, PluginBugError
from holdstill.plugin import Device, NoOptions, Tree, UnavailableError, hookimpl
from holdstill.plugins.load import Found
from holdstill.run import tend
from holdstill.run.strays import strays
from holdstill.testing import Machine, Trial, plain_disk

pytestmark = pytest.mark.usefixtures("no_log")

CONFIGURATION = """
guests:
  web:
    disks: [{root}/web-1.img, {root}/web-2.img]
    snapshot: stranger
    quiesce: [stranger]
    open: [stranger]
jobs:
  nightly: {guests: [web], backup: stranger, verify: [stranger]}
"""

ELSEWHERE = {"holdstill_plan", "holdstill_command"}
"What no run calls: see the tests of plans, and of subcommands that plugins bring."


class Stranger:
    """A plugin that takes part in everything; the framework's own test that it knows every hook is below."""

    @hookimpl
    def holdstill_options(self):
        return NoOptions

    @hookimpl
    def holdstill_check(self):
        return []

    @hookimpl
    def holdstill_quiesce(self):
        return nothing_around()

    @hookimpl
    def holdstill_freeze(self):
        return around(nothing_around())

    @hookimpl
    def holdstill_snapshot(self, steps, host):
        return tuple(partial(copies_of, step, host) for step in steps)

    @hookimpl
    def holdstill_open(self, step, hold, host):
        tree = step.run.tree(step.guest)
        hold.promise(f"tree {tree}", by_hand=["rmdir", tree], tree=tree)
        host.run("mkdir", tree)
        return (Tree(guest=step.guest, path=tree),)

    @hookimpl
    def holdstill_make_backup(self):
        return {"archive": "made"}

    @hookimpl
    def holdstill_verify_backup(self):
        pass

    @hookimpl
    def holdstill_tend(self):
        return 0.001

    @hookimpl
    def holdstill_still(self):
        pass

    @hookimpl
    def holdstill_undo(self, facts, host):
        if "copy" in facts:
            host.run("rm", "--force", facts["copy"])
        elif host.look(facts["tree"]):
            host.run("rmdir", facts["tree"])

    @hookimpl
    def holdstill_places(self, facts):
        return [facts["tree"]] if "tree" in facts else []

    @hookimpl
    def holdstill_strays(self):
        return []

    @hookimpl
    def holdstill_prepare(self):
        pass

    @hookimpl
    def holdstill_expose(self):
        pass

    @hookimpl
    def holdstill_backup(self):
        pass

    @hookimpl
    def holdstill_release(self):
        pass

    @hookimpl
    def holdstill_verify(self):
        pass

    @hookimpl
    def holdstill_finished(self):
        pass


def copies_of(step, host, hold) -> tuple[Device, ...]:
    copies = []
    for disk in step.disks:
        copy = f"{disk.path}.{step.run.id}"
        hold.promise(f"copy {copy}", by_hand=["rm", "--force", copy], copy=copy)
        host.run("cp", "--reflink=always", disk.path, copy)
        copies.append(msgspec.structs.replace(disk, path=copy, store=copy))
    return tuple(copies)


@contextmanager
def nothing_around():
    yield


@contextmanager
def around(inner):
    yield inner


def hooks() -> list[str]:
    return [name for name in vars(Stranger) if name.startswith("holdstill_")]


ERRORS: list[Callable[[], BaseException]] = [
    *(partial(kind, "stranger") for kind in (ValueError, MemoryError, SystemExit, KeyboardInterrupt)),
    *(partial(kind, "stranger") for kind in (GeneratorExit, StopIteration, RecursionError, OSError)),
    *(partial(kind, "a sentence") for kind in (UnavailableError, NotPlannableError, PluginBugError)),
    partial(SystemExit, 0),
]
NONSENSE = [
    *(None, True, 0, -1, 1e400, float("nan"), "nonsense", b"", object(), Stranger),
    *(
        [],
        [None],
        (),
        (None,),
        ("nonsense",),
        {},
        {"event": object()},
        {None: None},
        lambda *_: None,
        nothing_around,
    ),
]


def raising(error: Callable[[], BaseException]) -> Callable[[object], object]:
    def misbehave(_answer: object) -> object:
        raise error()

    return misbehave


def answering(nonsense: object) -> Callable[[object], object]:
    return lambda _answer: nonsense


NOT_A_FAILURE = {"holdstill_finished", "holdstill_places", "holdstill_strays", "holdstill_tend"}
"Hooks without which a backup is good: what they raise goes to the log."
MISBEHAVIOURS = {
    **{f"raises {error()!r}": raising(error) for error in ERRORS},
    **{f"answers {number}: {str(value)[:30]}": answering(value) for number, value in enumerate(NONSENSE)},
}


NO_STRAYS = {what for what in MISBEHAVIOURS if what.endswith((": []", ": ()"))}
SOME = (
    "raises ValueError('stranger')",
    "raises SystemExit('stranger')",
    "answers 0: None",
    "answers 6: nonsense",
)


class Misbehaving(Stranger):
    """A stranger whose hooks do their work until one is told to misbehave."""

    def __init__(self) -> None:
        self.instead: dict[str, Callable[[object], object]] = {}
        "What a hook does in place of its work,"
        self.afterwards: dict[str, Callable[[object], object]] = {}
        "or when that is done."


def told_to_misbehave(hook: str) -> Callable[..., object]:
    right = getattr(Stranger, hook)

    @functools.wraps(right)
    def call(self: Misbehaving, *arguments: object) -> object:
        if hook in self.instead:
            return self.instead[hook](None)
        answer = right(self, *arguments)
        return self.afterwards[hook](answer) if hook in self.afterwards else answer

    return call


for name in hooks():
    setattr(Misbehaving, name, told_to_misbehave(name))

STRANGER = Misbehaving()
FOUND = Found(name="stranger", origin="elsewhere", plugin=STRANGER)


@pytest.fixture
def new_trial(new_folder, monkeypatch) -> Callable[..., Trial]:
    """Make a machine on which the stranger's plugin is at work: ``new_trial(holdstill_open=misbehave)``."""
    monkeypatch.setattr(tend, "FIRST_LOOK", 0.0)

    def make(
        found: Found = FOUND, *, afterwards: bool = False, **misbehave: Callable[[object], object]
    ) -> Trial:
        STRANGER.instead, STRANGER.afterwards = ({}, misbehave) if afterwards else (misbehave, {})
        machine = Machine(folder := new_folder())
        folder.mkdir()
        for number in (1, 2):
            machine.add_image(folder / f"web-{number}.img", plain_disk())
        return Trial(machine, CONFIGURATION.replace("{root}", str(folder)), (found,))

    return make


def test_every_hook_that_a_plugin_can_have_misbehaves_here():
    known = {name for name in vars(hookspecs) if name.startswith("holdstill_")}
    assert known - ELSEWHERE == set(hooks())


def test_a_stranger_that_behaves_backs_up(new_trial):
    trial = new_trial()
    outcome = trial.run()
    assert outcome.ok, outcome.sentence
    assert trial.state() == trial.before


@pytest.mark.parametrize("hook", hooks())
def test_a_misbehaving_hook_leaves_nothing_that_recover_does_not_put_right(new_trial, hook):
    for what, misbehave in MISBEHAVIOURS.items():
        if hook == "holdstill_undo" and "answers" in what:
            continue  # it says that all is done: a lie that nobody can find out
        trial = new_trial(**{hook: misbehave})
        sentence = end_of(trial)
        if "raises" in what and hook not in NOT_A_FAILURE:
            assert sentence, what
        assert_right_again(trial, what)


@pytest.mark.parametrize("hook", hooks())
def test_a_hook_that_misbehaves_when_its_work_is_done_leaves_nothing_either(new_trial, hook):
    for what in SOME:
        trial = new_trial(afterwards=True, **{hook: MISBEHAVIOURS[what]})
        end_of(trial)
        assert_right_again(trial, what)


def test_what_cannot_be_let_go_of_is_told_although_nobody_knows_its_places(new_trial):
    for what, misbehave in MISBEHAVIOURS.items():
        trial = new_trial(holdstill_places=misbehave)
        trial.machine.broken.add("rmdir")
        assert trial.run().code == ExitCode.STILL_HELD, what
        trial.machine.broken.clear()
        assert_right_again(trial, what)


def test_a_plugin_that_cannot_look_for_strays_hides_nobody_elses(new_trial):
    for what, misbehave in MISBEHAVIOURS.items():
        trial = new_trial(holdstill_strays=misbehave)
        lost = trial.places.trees / "nightly"
        lost.mkdir()
        found, failures = strays(trial.site)
        assert [stray.what for stray in found] == [f"folder {lost}"], what
        assert bool(failures) == (what not in NO_STRAYS)


@pytest.mark.parametrize("hook", ["holdstill_quiesce", "holdstill_freeze"])
@pytest.mark.parametrize("at", ["enter", "leave"])
def test_a_context_that_misbehaves_leaves_nothing(new_trial, hook, at):
    for error in ERRORS:
        trial = new_trial(**{hook: answering(bad_context(error, at))})
        assert end_of(trial), error
        assert_right_again(trial, error)


@pytest.mark.parametrize("hook", ["holdstill_quiesce", "holdstill_freeze"])
def test_a_context_that_swallows_errors_hides_no_failed_snapshot(new_trial, hook):
    trial = new_trial(**{hook: answering(Swallows())})
    trial.machine.broken.add("cp")
    assert "cp" in end_of(trial)
    assert_right_again(trial, hook)


def test_functions_that_make_snapshots_may_misbehave_as_well(new_trial):
    for what, misbehave in MISBEHAVIOURS.items():
        trial = new_trial(holdstill_snapshot=answering((misbehave,)))
        assert end_of(trial), what
        assert_right_again(trial, what)


class Swallows:
    """A context that takes every error for its own business, and is one inside itself."""

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return True


def bad_context(error: Callable[[], BaseException], at: str):
    class Bad(Swallows):
        def __enter__(self):
            if at == "enter":
                raise error()
            return self

        def __exit__(self, *_error):
            if at == "leave":
                raise error()

    return Bad()


def end_of(trial: Trial) -> str:
    """Run, and give what went wrong as a sentence: nothing but an outcome, or an error that has one, may come."""
    try:
        outcome = trial.run()
    except HoldstillError as error:
        return str(error)
    assert outcome.ok or outcome.sentence
    return outcome.sentence


def assert_right_again(trial: Trial, what: object) -> None:
    """The plugin is mended: now all that was left is let go of, if anything was."""
    STRANGER.instead, STRANGER.afterwards = {}, {}
    trial.machine.broken.clear()
    for outcome in trial.recover():
        assert outcome.ok, (what, outcome.sentence)
    assert trial.state() == trial.before, what
    assert not trial.held(), what


class Forgetful(Stranger):
    """Promises, and has nothing that keeps the promise."""

    holdstill_undo = None


def test_what_cannot_be_undone_is_not_even_begun(new_trial):
    trial = new_trial(Found(name="stranger", origin="elsewhere", plugin=Forgetful()))
    outcome = trial.run()
    assert outcome.code == ExitCode.BUG
    assert "and has no holdstill_undo that would" in outcome.sentence
    assert trial.state() == trial.before
    assert "cp" not in [argv[0] for argv in trial.machine.commands]
