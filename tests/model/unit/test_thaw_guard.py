"""The program beside a run that lets go: when it does, and that nothing that happens to it then is its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack

import pytest

from holdstill import thaw_guard
from holdstill.host.orphans import MARK

YEAR = 365 * 86400
LIMIT = 90.0
"Seconds after which what we wait for will not come."


class Guard:
    """One beside us, which lets go by adding a word to a file."""

    def __init__(self, folder, *thaw, within=600, at_most=600):
        self.story = folder / "story"
        thaw = thaw or ("sh", "-c", f"echo let go >> {self.story}")
        limits = (str(within), str(at_most))
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", thaw_guard.__file__, *limits, "", *thaw],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {MARK: str(folder)},
            start_new_session=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def tell(self, *words):
        for word in words:
            print(word, file=self.process.stdin, flush=True)

    def end(self):
        """Close its input, as our end does; give its status, and what it said."""
        _, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.process:
            self.process.kill()

    @property
    def times(self):
        """How often it has let go."""
        return self.story.read_text().count("let go") if self.story.exists() else 0


@pytest.fixture
def new_guard(tmp_path):
    """Give what starts a guard of this test's."""
    with ExitStack() as ended:
        yield lambda *thaw, **limits: ended.enter_context(Guard(tmp_path, *thaw, **limits))


@pytest.mark.parametrize(
    ("told", "times"),
    [((), 0), (("freezing",), 1), (("freezing", "frozen"), 1), (("freezing", "frozen", "thawed"), 0)],
)
def test_it_lets_go_of_what_may_be_frozen_when_the_run_is_gone(new_guard, told, times):
    guard = new_guard()
    guard.tell(*told)
    status, _ = guard.end()
    assert guard.times == times
    assert status == (times > 0)


def test_it_can_wait_for_as_long_as_a_time_may_be(new_guard):
    guard = new_guard(within=10 * YEAR, at_most=10 * YEAR)
    guard.tell("frozen")
    assert guard.end() == (1, "")
    assert guard.times == 1


def test_it_lets_go_once_more_when_a_command_that_outlived_the_run_has_ended(new_guard, tmp_path):
    """Nor has a run that lives, and leaves a command to itself, to wait for it."""
    guard = new_guard()
    guard.tell("freezing")
    freezing = subprocess.Popen(["cat"], stdin=subprocess.PIPE, env=os.environ | {MARK: str(tmp_path)})
    guard.process.stdin.close()
    assert guard.process.wait(LIMIT) == 1
    eventually(lambda: guard.times == 1)
    freezing.communicate()
    eventually(lambda: guard.times == 2)


def test_a_command_that_is_a_copy_of_the_run_yet_is_waited_for(new_guard):
    """Between fork(2) and execve(2) it bears no mark, and our input may be closed already."""
    hears, says = os.pipe()
    guard = new_guard()
    guard.tell("freezing")
    if (copy := os.fork()) == 0:
        guard.process.stdin.close()
        os.close(says)
        os.read(hears, 1)
        os._exit(0)
    guard.process.stdin.close()
    eventually(lambda: guard.times == 1)
    os.close(says)
    os.waitpid(copy, 0)
    os.close(hears)
    eventually(lambda: guard.times == 2)


@pytest.mark.parametrize(
    ("told", "limits", "after"),
    [
        (("freezing",), {"within": 0.1, "at_most": 0.2}, "0.3 s"),
        (("freezing", "frozen"), {"at_most": 0.3}, "0.3 s"),
    ],
)
def test_it_lets_go_of_what_is_frozen_for_too_long_and_says_so(new_guard, told, limits, after):
    guard = new_guard(**limits)
    guard.tell(*told)
    assert guard.process.wait(LIMIT) == 1
    assert guard.times == 1
    assert f"it was let go of after {after}" in guard.process.stderr.read()


def eventually(condition):
    ends = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.01)


def test_the_runs_mark_is_the_one_that_it_looks_for():
    assert thaw_guard.MARK == MARK


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
def test_signals_neither_end_it_nor_are_ignored_by_the_command(new_guard, tmp_path, number):
    """A command that ignores them could not be stopped by those who come after us."""
    guard = new_guard("sh", "-c", f"grep SigIgn /proc/self/status > {tmp_path}/ignored")
    guard.tell("freezing")
    guard.process.send_signal(number)
    status, _ = guard.end()
    assert status == 1
    ignored = int((tmp_path / "ignored").read_text().split()[1], 16)
    assert not ignored & 1 << (number - 1)
