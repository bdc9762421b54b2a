"""What every plugin must stand, as a class of pytest's.

In a test of a plugin's author::

    class TestPlugins(Conformance):
        plugins = plugins_in(Path(__file__).parents[1])
        shapes = {"a frozen database": Shape(CONFIGURATION, prepare)}

``plugins`` are looked at one by one. Each of the ``shapes``, a modelled machine with a job, is run again and again:
every command of it fails, hangs, is killed and takes the process with it, and each time the machine must be put right.
So the modelled machine must know every command that the plugins run: see :class:`~holdstill.testing.Tool`.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import os
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar, TypeAlias

import pytest
import structlog

from holdstill.plugins.load import Found
from holdstill.plugins.registry import Registry
from holdstill.run import tend
from holdstill.testing.deaths import every_death
from holdstill.testing.documented import member_docs
from holdstill.testing.faults import FAILURES, Fault, Kind
from holdstill.testing.machine import Machine
from holdstill.testing.shape import Shape
from holdstill.testing.timekeeper import timed
from holdstill.testing.trial import Trial, every_point

NewTrial: TypeAlias = Callable[[], Trial]


class Conformance:
    """Derive from it, and say what is tested."""

    plugins: ClassVar[tuple[Found, ...]]
    "What :func:`~holdstill.testing.plugins_in` gives."
    shapes: ClassVar[Mapping[str, Shape]]
    "Jobs in which they take part, by what they are."

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Test every plugin, and every shape."""
        if "plugin" in metafunc.fixturenames:
            metafunc.parametrize("plugin", self.plugins, ids=lambda plugin: plugin.name)
        if "shape" in metafunc.fixturenames:
            metafunc.parametrize("shape", self.shapes.values(), ids=self.shapes.keys())

    @pytest.fixture(autouse=True)
    def _quick(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Flush nothing, log nothing, and tend nothing by the clock: a slow computer runs what a quick one does."""
        monkeypatch.setattr(os, "fsync", lambda _descriptor: None)
        monkeypatch.setattr(tend, "FIRST_LOOK", 3600.0)
        before = structlog.get_config() if structlog.is_configured() else None
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        yield
        structlog.reset_defaults()
        if before:
            structlog.configure(**before)

    @pytest.fixture
    def new_trial(self, shape: Shape, tmp_path: Path) -> NewTrial:
        """Give what makes a new machine of a shape."""
        numbers = itertools.count()
        return lambda: shape.trial(tmp_path / f"machine{next(numbers)}", self.plugins)

    # What it is

    def test_it_loads(self, plugin: Found) -> None:
        """As «holdstill plugins» would list it."""
        [known] = Registry([plugin]).found
        assert not known.broken, f"«holdstill plugins» lists {plugin.name!r} as broken: {known.broken}."

    def test_it_is_documented(self, plugin: Found) -> None:
        """The plugin itself, and each of its options."""
        assert inspect.getdoc(plugin.plugin), f"The plugin {plugin.name!r} has no docstring."
        options = Registry([plugin]).options_of(plugin.name)
        silent = (
            set(options.__struct_fields__) - member_docs(options).keys() if options.__struct_fields__ else {}
        )
        assert not silent, (
            f"Options of {plugin.name!r} without a string below that says what they are: {silent}."
        )

    # A run

    def test_a_run_leaves_the_machine_as_it_was(self, new_trial: NewTrial) -> None:
        """Nothing is held any more, and nothing is left."""
        trial = new_trial()
        outcome = trial.run()
        assert outcome.ok, outcome.sentence
        assert_as_before(trial, "the run")

    def test_pre_holds_until_post(self, new_trial: NewTrial) -> None:
        """What is held stays so until its caller is back."""
        trial = new_trial()
        outcome = trial.pre()
        assert outcome.ok, outcome.sentence
        assert trial.held(), "«pre» has ended well, and nothing is held."
        assert trial.state() != trial.before, "«pre» has ended well, and nothing has changed."
        assert trial.recover() == [], "Somebody else let go of what «pre» holds."
        [outcome] = trial.post()
        assert outcome.ok, outcome.sentence
        assert_as_before(trial, "«post»")

    def test_a_plan_changes_nothing(self, new_trial: NewTrial, capsys: pytest.CaptureFixture[str]) -> None:
        """It asks, and what it gives are lines for root's shell; nobody prints anything."""
        trial = new_trial()
        made = trial.plan()
        commands = trial.machine.commands
        changing = [argv for number, argv in enumerate(commands) if number not in trial.machine.questions]
        assert not changing, f"A plan ran «{shlex.join(changing[0])}»: only «host.run» changes anything."
        assert_as_before(trial, "a plan")
        for line in (*made.expose, *made.backup, *made.release, *made.around):
            assert line.isprintable(), f"A plan has a line that no terminal should be shown: {line!r}."
        for line in (*made.expose, *made.backup, *made.release):
            shlex.split(line, comments=True)
        assert capsys.readouterr() == ("", ""), "Something was printed while it was planned."

    # Deaths

    def test_a_run_that_dies_at_any_moment_is_recovered(self, new_trial: NewTrial) -> None:
        """Every change was promised before it was made."""
        trial = new_trial()
        for command in every_death(trial, Trial.run):
            assert_recovered(trial, f"dies at «{command}»")

    def test_after_a_power_cut_at_any_moment_recover_puts_the_host_right(self, new_trial: NewTrial) -> None:
        """What a boot has undone already is success."""
        trial = new_trial()
        for command in every_death(trial, Trial.run):
            trial.machine.power_off()
            assert_recovered(trial, f"loses power at «{command}»")

    @pytest.mark.parametrize("part", [Trial.post, Trial.recover])
    def test_letting_go_that_dies_at_any_moment_is_finished_by_the_next(
        self, new_trial: NewTrial, part: Callable[[Trial], object]
    ) -> None:
        """What is undone already, or half, is undone."""
        trial = new_trial()
        assert trial.pre().ok
        trial.machine.kernel.boot += part is Trial.recover
        for command in every_death(trial, part):
            assert_recovered(trial, f"dies at «{command}» while it lets go")

    # Failures

    @pytest.mark.parametrize("kind", FAILURES)
    def test_a_run_in_which_any_command_goes_wrong_lets_go_of_all(
        self, new_trial: NewTrial, kind: Kind
    ) -> None:
        """One failure costs the run at the most."""
        for fault in every_point(new_trial, Trial.run, [kind]):
            trial = new_trial()
            trial.machine.fault = fault
            outcome = trial.run()
            assert not outcome.still_held, f"Still held when {_said(trial, fault)}: {outcome.sentence}"
            assert_as_before(trial, f"a run in which {_said(trial, fault)}")

    def test_nothing_is_let_go_of_while_a_command_hangs_and_all_is_when_it_has_ended(
        self, new_trial: NewTrial
    ) -> None:
        """A command that cannot be ended may do its work yet."""
        for fault in every_point(new_trial, Trial.run, [Kind.STUCK]):
            trial = new_trial()
            trial.machine.fault, trial.machine.patient = fault, False
            outcome = trial.run()
            assert not outcome.ok or not trial.held(), _said(trial, fault)
            trial.machine.let_end()
            assert_recovered(trial, _said(trial, fault))

    def test_whatever_hangs_no_hook_takes_longer_than_it_may(self, new_trial: NewTrial) -> None:
        """The commands of a hook have deadlines that fit its own, past which its process is given up."""
        commands = len(_after(new_trial(), Trial.run).machine.commands)
        for fault in (Fault(number, Kind.HANG) for number in range(commands)):
            trial = new_trial()
            trial.machine.fault = fault
            with timed(trial) as late:
                trial.run()
            assert not late, f"When {_said(trial, fault)}: {late[0]}"

    # Undo

    def test_undoing_what_is_undone_is_silent_success(
        self, new_trial: NewTrial, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """By hand, by a boot, or by a process that was killed before it could write so down."""
        for meanwhile in (lambda _machine: None, Machine.power_off):
            trial = _after(new_trial(), Trial.pre)
            meanwhile(trial.machine)
            for _ in range(2):
                trial.undo_all()
                assert trial.state() == trial.before, _difference(trial, "undoing all")
        assert capfd.readouterr() == ("", ""), "Something was printed while it was undone."

    @pytest.mark.parametrize("what", ["what changes", "what asks"])
    def test_undo_does_not_take_a_failure_for_success(self, new_trial: NewTrial, what: str) -> None:
        """What could not be undone, or not even be looked at, is still held, until it can be."""
        tools = _tools(_after(_after(new_trial(), Trial.pre), Trial.post), asking=what == "what asks")
        trial = new_trial()
        for command in every_death(trial, Trial.run):
            if trial.machine.kernel.at_work:
                continue  # nothing is undone until that has ended, which is another moment
            trial.machine.broken = tools
            trial.recover_in_passing()
            if not trial.held():
                assert_as_before(trial, f"a run that died at «{command}» was recovered, {what} being broken,")
            trial.machine.broken = set()
            trial.recover()
            assert_as_before(
                trial, f"a run died at «{command}», and was recovered twice, {what} being broken at first,"
            )


def assert_as_before(trial: Trial, what: str) -> None:
    """Nothing is held, no backup was made of what was frozen, and the machine is what it was in the end."""
    trial.machine.let_end()
    assert not trial.held(), f"Still held after {what}: {'; '.join(trial.held())}."
    assert trial.state() == trial.before, _difference(trial, what)
    frozen = trial.machine.frozen_while_read
    assert not frozen, f"Frozen in {what}, while the backup ran: {', '.join(frozen)}."


def assert_recovered(trial: Trial, what: str) -> None:
    """«holdstill recover» puts the machine right, and then finds nothing more to do."""
    for outcome in trial.recover():
        assert outcome.ok, f"A run that {what} is not recovered: {outcome.sentence}"
    assert_as_before(trial, f"the recovery of a run that {what}")
    assert trial.recover() == [], f"A run that {what} was recovered, and there is more to recover."


def _difference(trial: Trial, what: str) -> str:
    """Say what is not as it was."""
    now = trial.state()
    changed = [
        f"{key}: {was!r} has become {now[key]!r}" for key, was in trial.before.items() if was != now[key]
    ]
    return f"After {what} the machine is not what it was. Was every change promised, and undone? {'; '.join(changed)}"


def _said(trial: Trial, fault: Fault) -> str:
    """Name the command at which something went wrong, and what."""
    commands = trial.machine.commands
    return f"«{shlex.join(commands[fault.at]) if fault.at < len(commands) else '(not run)'}» {fault.kind}"


def _after(trial: Trial, part: Callable[[Trial], object]) -> Trial:
    part(trial)
    return trial


def _tools(trial: Trial, *, asking: bool) -> set[str]:
    """Give the commands that were asked, or that were run to change something."""
    machine = trial.machine
    numbered = enumerate(machine.commands)
    return {argv[0] for number, argv in numbered if (number in machine.questions) == asking}
