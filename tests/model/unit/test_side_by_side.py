"""Several guests at once: results in order, one failure told and the others logged, nothing left at work."""

from __future__ import annotations

import threading

import pytest
import structlog

from holdstill.errors import UnavailableError
from holdstill.run.side_by_side import MOST, SideBySide


def test_results_come_in_the_order_in_which_the_work_was_started():
    second_is_done = threading.Event()

    def first():
        assert second_is_done.wait(20)
        return 1

    with SideBySide[int]() as work:
        work.start(first)
        work.start(lambda: second_is_done.set() or 2)
    assert work.results() == (1, 2)


def test_not_more_than_some_are_done_at_the_same_time():
    at_work, most, lock, go = 0, 0, threading.Lock(), threading.Event()

    def part():
        nonlocal at_work, most
        with lock:
            at_work += 1
            most = max(most, at_work)
            if at_work == MOST:
                go.set()
        go.wait(5)
        with lock:
            at_work -= 1

    with SideBySide[None]() as work:
        for _ in range(3 * MOST):
            work.start(part)
    assert most <= MOST


def test_the_first_failure_is_raised_and_the_others_are_logged():
    def fail(why):
        raise UnavailableError(why)

    with structlog.testing.capture_logs() as events, SideBySide[None]() as work:
        work.start(fail, "the first")
        work.start(lambda: None)
        work.start(fail, "the second")
    with structlog.testing.capture_logs() as events, pytest.raises(UnavailableError, match="the first"):
        work.results()
    assert [event["why"] for event in events] == ["the second"]
    assert work.failed


def test_nothing_is_at_work_any_more_when_it_is_left():
    done = []
    with pytest.raises(UnavailableError), SideBySide[None]() as work:  # noqa: PT012  the with is the point
        for number in range(6):
            work.start(lambda number=number: threading.Event().wait(0.02) or done.append(number))
        raise UnavailableError("meanwhile")
    assert sorted(done) == list(range(6))


def test_what_is_logged_is_known_by_the_same_run():
    with structlog.contextvars.bound_contextvars(run="r1"), SideBySide[dict]() as work:
        work.start(structlog.contextvars.get_contextvars)
    assert work.results()[0]["run"] == "r1"
