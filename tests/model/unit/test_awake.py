"""The watchdog over suspended volumes: it wakes what was left, and nothing that is only at work."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from holdstill_plugins import lvm_awake

FAKE = """#!/bin/sh
echo "$@" >> {folder}/calls
[ "$1" = info ] && cat {folder}/state
[ "$1" = resume ] && sed -i "s/^$2 .*/$2 Active Live/" {folder}/state
exit 0
"""


class Mapper:
    """What dmsetup says, look by look, and what it was told."""

    def __init__(self, *looks: str) -> None:
        self._looks = list(looks)
        self.told: list[tuple[str, ...]] = []

    def __call__(self, *arguments: str) -> str:
        if arguments[0] == "info":
            return self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        self.told.append(arguments)
        return ""


@pytest.mark.parametrize(
    ("looks", "told"),
    [
        (["a Active Live"], []),
        (["a Suspended Live"], [("resume", "a")]),
        (["a Suspended Both"], [("clear", "a"), ("resume", "a")]),
        (["a Active Both"], [("clear", "a")]),
        (["a Suspended Live", "a Active Live"], []),
        (["a Suspended Both", "a Suspended Live"], []),
        (["b Suspended Live"], []),
        (["a-real Suspended Live\na Suspended Live"], [("resume", "a")]),
        (["No devices found"], []),
        ([""], []),
    ],
    ids=[
        "awake",
        "left suspended",
        "left with a table that was never made live",
        "left with that table only",
        "resumed meanwhile",
        "at work meanwhile",
        "somebody else's",
        "a name that only begins the same",
        "no maps at all",
        "silence",
    ],
)
def test_only_what_was_left_behind_is_woken(looks, told):
    mapper, pauses = Mapper(*looks), []
    lvm_awake.wake(["a"], mapper, pauses.append)
    assert mapper.told == told
    assert len(pauses) == (
        0 if looks[0] in {"a Active Live", "b Suspended Live", "No devices found", ""} else 1
    )


def test_maps_are_woken_in_the_order_in_which_they_were_named():
    mapper = Mapper("top Suspended Live\nbottom Suspended Live")
    lvm_awake.wake(["bottom", "top"], mapper, lambda _: None)
    assert mapper.told == [("resume", "bottom"), ("resume", "top")]


@pytest.fixture
def watchdog(tmp_path, monkeypatch):
    """Start the watchdog beside a dmsetup that only notes what it is told."""
    (tmp_path / "dmsetup").write_text(FAKE.format(folder=tmp_path))
    (tmp_path / "dmsetup").chmod(0o755)
    (tmp_path / "state").write_text("web Suspended Live\nlog Suspended Live\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    started = []

    def start(seconds):
        argv = [sys.executable, "-I", "-S", lvm_awake.__file__, str(seconds), "web", "log"]
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline() == b"ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def resumed(tmp_path):
    """What was resumed, in order."""
    path = tmp_path / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return [line.split()[1] for line in lines if line.startswith("resume")]


@pytest.mark.parametrize("end", ["the pipe closes", "the time is over"])
def test_it_resumes_what_it_watches_over(watchdog, tmp_path, end):
    process = watchdog(0.2 if end == "the time is over" else 60)
    if end == "the pipe closes":
        process.stdin.close()
    assert process.wait(20) == 0
    assert resumed(tmp_path) == ["web", "log"]


def test_it_changes_nothing_while_somebody_is_there(watchdog, tmp_path):
    process = watchdog(60)
    time.sleep(0.3)
    assert process.poll() is None
    assert not (tmp_path / "calls").exists()


def test_a_signal_that_ends_others_does_not_end_it(watchdog, tmp_path):
    process = watchdog(60)
    for number in (1, 2, 15):
        process.send_signal(number)
    time.sleep(0.2)
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(20) == 0
    assert resumed(tmp_path) == ["web", "log"]
