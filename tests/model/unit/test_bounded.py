"""Work that may hang is done beside us, all at once, and left behind at its deadline."""

from __future__ import annotations

import threading

import pytest

from holdstill.errors import UnavailableError
from holdstill_plugins.bounded import failures_of


def fails(error):
    def part():
        raise error

    return part


def test_all_is_done_at_once():
    together = threading.Barrier(3, timeout=30)
    assert failures_of(dict.fromkeys("abc", together.wait), 60) == {}


def test_what_hangs_is_left_behind_and_named():
    over = threading.Event()
    try:
        found = failures_of({"good": lambda: None, "hangs": over.wait}, 0.05)
    finally:
        over.set()
    assert found == {"hangs": "no answer within 0.05 s"}


def test_a_failure_of_ours_is_told_and_of_another_only_the_type_is():
    parts = {"ours": fails(UnavailableError("refused")), "other": fails(OSError("https://host/secret"))}
    assert failures_of(parts, 60) == {"ours": "refused", "other": "OSError"}


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_not_even_an_exit_gets_out_of_a_part(error):
    assert failures_of({"exits": fails(error)}, 60) == {"exits": type(error).__name__}
