"""The program beside a run that lets go: nothing that happens to it when it tries is its end."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from holdstill_plugins import thaw_guard


def test_a_command_that_cannot_be_started_is_tried_again():
    assert not thaw_guard.let_go(["/no/such/command"], "")


def test_what_a_command_says_may_be_no_text():
    says = r"printf '\377 is not frozen' >&2; exit 1"
    assert not thaw_guard.let_go(["sh", "-c", says], "")
    assert thaw_guard.let_go(["sh", "-c", says], "is not frozen")


def test_a_command_that_hangs_is_given_up_for_the_next_try(monkeypatch):
    monkeypatch.setattr(thaw_guard, "LONGEST_TRY", 0.1)
    assert not thaw_guard.let_go(["sleep", "600"], "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_neither_end_it_nor_are_ignored_by_the_command(tmp_path, number):
    """A command that ignores them could not be stopped by those who come after us."""
    look = f"grep SigIgn /proc/self/status > {tmp_path}/ignored"
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", thaw_guard.__file__, "600", "600", "", "sh", "-c", look],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert guard.stdout.readline() == b"ready\n"
    guard.send_signal(number)
    guard.communicate(timeout=90)
    assert guard.returncode == 1
    ignored = int((tmp_path / "ignored").read_text().split()[1], 16)
    assert not ignored & 1 << (number - 1)
