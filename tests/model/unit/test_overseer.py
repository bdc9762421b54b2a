"""Who is at work in a hook for too long is found out; a phase is not, as long as a step is at work in it."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from holdstill.plugin import hookimpl
from holdstill.plugins.load import Found
from holdstill.plugins.overseer import LIMITS, Bounded, Overseer
from holdstill.plugins.registry import Registry

SOON = 0.02
LONG = 1000.0


class Watch:
    """An overseer at work."""

    def __init__(self, **limits: float) -> None:
        self.overseer = Overseer({f"holdstill_{hook}": limit for hook, limit in limits.items()})
        self.late: list[tuple[str, str]] = []
        self.given_up = threading.Event()
        self.looks = threading.Semaphore(0)
        watching = (self.give_up, self.looks.release, 0.001)
        threading.Thread(target=self.overseer.watch, args=watching, daemon=True).start()

    def give_up(self, late) -> None:
        self.late.append((late.who, late.hook))
        self.given_up.set()

    def looks_again(self) -> None:
        """Wait for looks that began after this moment."""
        while self.looks.acquire(blocking=False):
            pass
        for _ in range(3):
            assert self.looks.acquire(timeout=10)


def test_who_takes_too_long_is_told_by_name_while_still_at_work():
    watch = Watch(open=SOON)
    with watch.overseer.watching("the plugin 'p'", "holdstill_open"):
        assert watch.given_up.wait(10)
    assert watch.late == [("the plugin 'p'", "holdstill_open")]


def test_who_ends_in_time_is_not():
    watch = Watch(open=LONG, undo=SOON)
    for _ in range(100):
        with watch.overseer.watching("p", "holdstill_open"):
            pass
    watch.looks_again()
    assert not watch.given_up.is_set()


def test_all_is_said_to_be_well_until_somebody_is_late_and_not_after():
    watch = Watch(open=SOON)
    watch.looks_again()
    with watch.overseer.watching("p", "holdstill_open"):
        assert watch.given_up.wait(10)
    while watch.looks.acquire(blocking=False):
        pass
    assert not watch.looks.acquire(timeout=0.1)


def test_a_phase_is_not_late_while_a_step_is_at_work_in_any_thread():
    watch = Watch(expose=SOON, open=LONG)
    over = threading.Event()

    def step():
        with watch.overseer.watching("p", "holdstill_open"):
            begun.set()
            over.wait(10)

    begun = threading.Event()
    thread = threading.Thread(target=step)
    thread.start()
    assert begun.wait(10)
    with watch.overseer.watching("a plugin", "holdstill_expose"):
        for _ in range(20):
            watch.looks_again()
        assert not watch.given_up.is_set()
        over.set()
        thread.join()
        assert watch.given_up.wait(10)
    assert watch.late == [("a plugin", "holdstill_expose")]


def test_a_step_is_late_whatever_phase_it_is_in():
    watch = Watch(expose=LONG, open=SOON)
    with (
        watch.overseer.watching("a plugin", "holdstill_expose"),
        watch.overseer.watching("p", "holdstill_open"),
    ):
        assert watch.given_up.wait(10)
    assert watch.late == [("p", "holdstill_open")]


def test_a_limit_of_ones_own_counts_more_than_the_hooks():
    watch = Watch(make_backup=LONG)
    with watch.overseer.watching("the job 'j'", "holdstill_make_backup", SOON):
        assert watch.given_up.wait(10)


@pytest.mark.parametrize("at", ["entering", "inside", "leaving"])
def test_a_context_must_be_entered_and_left_in_time_but_may_be_long(at):
    watch = Watch(quiesce=SOON)
    go_on = watch.given_up.wait if at != "inside" else lambda _seconds: None

    @contextmanager
    def quiet():
        if at == "entering":
            go_on(10)
        yield
        if at == "leaving":
            go_on(10)

    with Bounded(quiet(), lambda: watch.overseer.watching("p", "holdstill_quiesce")):
        if at == "inside":
            watch.looks_again()
    assert watch.given_up.is_set() == (at != "inside")


def test_every_call_of_a_hook_is_watched():
    class Plugin:
        @hookimpl
        def holdstill_undo(self):
            assert watch.given_up.wait(10)

        @hookimpl
        def holdstill_expose(self):
            assert watch.given_up.wait(10)

    plugins = Registry([Found(name="p", origin="here", plugin=Plugin())])
    for hook, call in (
        ("undo", lambda: plugins.call("p", "holdstill_undo", facts={}, host=None)),
        ("expose", lambda: plugins.phase("holdstill_expose", run=None)),
    ):
        watch = Watch(**{hook: SOON})
        plugins.overseer = watch.overseer
        call()
        assert [late for _, late in watch.late] == [f"holdstill_{hook}"]


def test_limits_are_of_hooks_that_there_are():
    assert all(hook in vars(__import__("holdstill.hookspecs").hookspecs) for hook in LIMITS)
