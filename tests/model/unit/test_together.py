"""Work that threads want at the same time is done together, without anybody waiting for more to come."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from holdstill_plugins.together import Together

LONG = 90.0
"Seconds: as long as the slowest machine needs to start a thread."


class Work:
    """Notes what it is given each time; the first time it goes on only when it is let go."""

    def __init__(self) -> None:
        self.given: list[list[str]] = []
        self.began, self.goes_on = threading.Event(), threading.Event()

    def __call__(self, wanted):
        self.given.append(sorted(wanted))
        self.began.set()
        assert self.goes_on.wait(LONG)
        if "bad" in wanted:
            raise ValueError(" and ".join(sorted(wanted)))
        return len(wanted)


@pytest.fixture
def work():
    return Work()


def while_one_is_at_work(work, *others):
    """Have the first one at work, then others come, each ``(wanted, of)``; give what became of each."""
    together = Together()
    with ThreadPoolExecutor(1 + len(others)) as pool:
        first = pool.submit(together.done, "first", work, of="kind")
        assert work.began.wait(LONG)
        rest = [pool.submit(together.done, wanted, work, of=kind) for wanted, kind in others]
        wait_until(lambda: sum(map(len, together._waiting.values())) == len(others))
        work.goes_on.set()
        return first, *rest


def wait_until(is_so):
    tick = threading.Event()
    for _ in range(int(LONG * 100)):
        if is_so():
            return
        tick.wait(0.01)
    raise AssertionError("it never came to it")


def test_one_alone_does_not_wait(work):
    work.goes_on.set()
    assert Together().done("first", work, of="kind") == 1
    assert work.given == [["first"]]


def test_who_comes_while_one_is_at_work_is_taken_along_by_the_next(work):
    results = while_one_is_at_work(work, ("second", "kind"), ("third", "kind"))
    assert [future.result() for future in results] == [1, 2, 2]
    assert work.given == [["first"], ["second", "third"]]


def test_a_failure_is_told_to_all_who_were_taken_along_and_to_nobody_else(work):
    first, second, bad = while_one_is_at_work(work, ("second", "kind"), ("bad", "kind"))
    assert first.result() == 1
    for failed in (second, bad):
        with pytest.raises(ValueError, match="bad and second"):
            failed.result()


def test_another_kind_of_work_is_not_mixed_with_it(work):
    results = while_one_is_at_work(work, ("second", "kind"), ("other", "another kind"))
    assert [future.result() for future in results] == [1, 1, 1]
    assert work.given[0] == ["first"]
    assert sorted(work.given[1:]) == [["other"], ["second"]]


def test_after_a_failure_the_next_one_is_served(work):
    work.goes_on.set()
    together = Together()
    with pytest.raises(ValueError, match="bad"):
        together.done("bad", work, of="kind")
    assert together.done("good", work, of="kind") == 1
