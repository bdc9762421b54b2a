"""The watchdog over suspended volumes: it wakes what was left, and nothing that is only at work."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from holdstill.plugin import Answer, CommandStuckError, SnapshotError, UnavailableError
from holdstill_plugins import lvm_awake, lvm_mend, lvm_watch

LIMIT = 90.0
"Seconds after which a condition that we wait for will not come."

FAKE = """#!/bin/sh
echo "$@" >> {folder}/calls
[ "$1" = info ] && cat {folder}/state
[ "$1" = resume ] && sed -i "s/^$2 .*/$2 Active Live/" {folder}/state
exit 0
"""


def eventually(condition):
    """Wait for a condition, with a limit."""
    ends = time.monotonic() + LIMIT
    while not (met := condition()) and time.monotonic() < ends:
        time.sleep(0.01)
    return met


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
        (["a Active Live b", "b Suspended Live"], []),
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
        "what stands on it",
        "no maps at all",
        "silence",
    ],
)
def test_only_what_was_left_behind_is_woken(looks, told):
    mapper, pauses = Mapper(*looks), []
    lvm_awake.wake(["a"], mapper, pauses.append)
    assert mapper.told == told
    assert len(pauses) == (
        0
        if looks[0] in {"a Active Live", "a Active Live b", "b Suspended Live", "No devices found", ""}
        else 1
    )


def test_other_snapshots_of_the_same_origin_are_woken_after_it():
    """LVM suspends them together."""
    mapper = Mapper(
        "o Suspended Live\nold Suspended Live\nold-cow Suspended Live\no-real Suspended Live o,old\nx Suspended Live"
    )
    lvm_awake.wake(["o-real", "new-cow", "o", "new"], mapper, lambda _: None)
    assert [name for _, name in mapper.told] == ["o-real", "o", "old-cow", "old"]


def test_maps_are_woken_in_the_order_in_which_they_were_named():
    mapper = Mapper("top Suspended Live\nbottom Suspended Live")
    lvm_awake.wake(["bottom", "top"], mapper, lambda _: None)
    assert mapper.told == [("resume", "bottom"), ("resume", "top")]


class Watchdog:
    """The program, and how it is told what is at work."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process, self._folder = process, folder

    def tell(self, line: str) -> None:
        self.process.stdin.write(f"{line}\n".encode())
        self.process.stdin.flush()

    def left_alone(self) -> None:
        """End as its runner does: the pipe closes."""
        self.process.stdin.close()

    def asked(self) -> list[str]:
        """What dmsetup was asked for, in order."""
        path = self._folder / "calls"
        return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []

    def resumed(self) -> list[str]:
        path = self._folder / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[1] for line in lines if line.startswith("resume")]

    def ends(self) -> None:
        assert self.process.wait(LIMIT) == 0

    def goes_on(self) -> None:
        """Nothing tells that it does nothing, so give it some time to do it."""
        time.sleep(0.3)
        assert self.process.poll() is None


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A dmsetup that only notes what it is told, of three maps that are suspended."""
    (tmp_path / "dmsetup").write_text(FAKE.format(folder=tmp_path))
    (tmp_path / "dmsetup").chmod(0o755)
    (tmp_path / "state").write_text("web Suspended Live\nlog Suspended Both\nother Suspended Live\n")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


@pytest.fixture
def watchdog(machine):
    """The watchdog, started as holdstill starts it."""
    process = subprocess.Popen(lvm_watch.PROGRAM, stdin=subprocess.PIPE, start_new_session=True)
    assert eventually(lambda: _ignores(process.pid, signal.SIGTERM))
    yield Watchdog(process, machine)
    process.kill()
    process.wait()
    process.stdin.close()


@pytest.fixture
def at_work(machine):
    """Start a command that goes by LVM's names, and works until it is killed."""
    started = []

    def start(*argv):
        # A script's first word would be its shell's: exec -a gives it the name that a program has.
        words = shlex.join([str(machine / "work"), *argv[1:]])
        process = subprocess.Popen(["bash", "-c", f"exec -a {argv[0]} sh {words}"])
        started.append(process)
        assert eventually(lambda: Path(f"/proc/{process.pid}/cmdline").read_text().startswith(argv[0]))
        return process

    (machine / "work").write_text("while sleep 0.02; do :; done\n")
    yield start
    for process in started:
        process.kill()
        process.wait()


def _ignores(pid, number):
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "SigIgn" in line]
    return int(line.split()[1], 16) >> (number - 1) & 1


def test_what_a_command_left_suspended_is_woken_when_we_are_gone(watchdog):
    watchdog.tell("hs_1 inf web log")
    watchdog.left_alone()
    watchdog.ends()
    assert watchdog.asked() == ["info", "info", "resume", "clear", "resume"]
    assert watchdog.resumed() == ["web", "log"]


def test_with_nothing_at_work_it_ends_and_looks_at_nothing(watchdog):
    watchdog.tell("hs_1 inf web log")
    watchdog.tell("hs_1")
    watchdog.left_alone()
    watchdog.ends()
    assert watchdog.asked() == []


def test_of_several_commands_the_maps_of_the_last_are_woken_first(watchdog):
    """Origins that are held together are suspended first: what lvcreate left beneath comes before them."""
    watchdog.tell("web inf web log")
    watchdog.tell("hs_1 inf other web")
    watchdog.tell("hs_2 inf missing")
    watchdog.left_alone()
    watchdog.ends()
    assert watchdog.resumed() == ["other", "web", "log"]


@pytest.mark.parametrize("told", [(), ("hs_1 inf web log",)], ids=["nothing at work", "something at work"])
def test_it_changes_nothing_while_we_are_there(watchdog, told):
    for line in told:
        watchdog.tell(line)
    watchdog.goes_on()
    assert watchdog.asked() == []


def test_what_is_suspended_for_too_long_is_woken_while_we_are_there(watchdog):
    watchdog.tell("web 0.1 web log")
    watchdog.tell("hs_1 inf other")
    assert eventually(lambda: watchdog.resumed() == ["web", "log"])
    watchdog.goes_on()


def test_what_is_awake_in_time_is_left_alone(watchdog):
    watchdog.tell(
        "web 0.2 web log\nweb"
    )  # at once: whatever keeps us from telling it in time is not the question
    watchdog.goes_on()
    assert watchdog.asked() == []


def test_lines_are_heard_however_they_arrive(watchdog):
    for piece in (b"hs_1 inf w", b"eb\nhs_2 inf log\nhs", b"_2\n"):
        watchdog.process.stdin.write(piece)
        watchdog.process.stdin.flush()
        time.sleep(0.05)
    watchdog.left_alone()
    watchdog.ends()
    assert watchdog.resumed() == ["web"]


def test_a_signal_that_ends_others_does_not_end_it(watchdog):
    watchdog.tell("hs_1 inf web")
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        watchdog.process.send_signal(number)
    watchdog.goes_on()
    watchdog.left_alone()
    watchdog.ends()
    assert watchdog.resumed() == ["web"]


@pytest.mark.parametrize(
    "argv",
    [("lvcreate", "--name", "hs_1", "vg/web"), ("lvremove", "vg/hs_1"), ("dmsetup", "suspend", "hs_1")],
)
def test_a_command_that_outlived_us_is_not_disturbed_before_its_end(watchdog, at_work, argv):
    command = at_work(*argv)
    watchdog.tell("hs_1 inf web")
    watchdog.left_alone()
    watchdog.goes_on()
    assert watchdog.asked() == []
    command.kill()
    command.wait()
    watchdog.ends()
    assert watchdog.resumed() == ["web"]


@pytest.mark.parametrize("argv", [("lvcreate", "--name", "hs_11"), ("dd", "/dev/vg/hs_1")])
def test_others_at_work_are_not_waited_for(watchdog, at_work, argv):
    at_work(*argv)
    watchdog.tell("hs_1 inf web")
    watchdog.left_alone()
    watchdog.ends()
    assert watchdog.resumed() == ["web"]


def test_a_command_that_hangs_on_what_it_has_suspended_is_not_waited_for_in_vain(mocker, monkeypatch):
    monkeypatch.setattr(lvm_awake, "PATIENCE", 0.1)
    monkeypatch.setattr(lvm_awake, "A_MOMENT", 0.0)
    mocker.patch.object(lvm_awake, "_at_work", side_effect=[*[[os.getpid()]] * 50, *[[]] * 50])
    woken = mocker.patch.object(lvm_awake, "_wake")
    lvm_awake._see_to({"hs_1": lvm_awake.Told(["web"], 0.0)})
    assert len(woken.mock_calls) > 1, "once while it hangs, and once more when it has ended"


def test_a_dmsetup_that_fails_is_tried_again(watchdog, machine):
    good = (machine / "dmsetup").read_text()
    (machine / "dmsetup").write_text(f"#!/bin/sh\necho try >> {machine}/tries; exit 1\n")
    watchdog.tell("hs_1 inf web")
    watchdog.left_alone()
    assert eventually(
        lambda: (machine / "tries").exists() and (machine / "tries").read_text().count("try") > 1
    )
    (machine / "fresh").write_text(good)
    (machine / "fresh").chmod(0o755)
    (machine / "fresh").rename(machine / "dmsetup")
    watchdog.ends()
    assert watchdog.resumed() == ["web"]


# How the plugin tells it


class Host:
    """A host whose watchdog only listens."""

    def __init__(self):
        self.told = []

    def beside(self, *argv):
        assert argv == lvm_watch.PROGRAM
        return self

    def tell(self, line):
        self.told.append(line)

    def run(self, *argv, **_how):
        self.told.append(" ".join(argv[:2]))
        return Answer(argv, 0)

    def pause(self, _seconds):
        pytest.fail("nothing is asleep")

    def shielded(self):
        return nullcontext()


BEGUN = "hs_1 inf vg-web-real vg-hs_1-cow vg-web vg-hs_1"


def test_the_watchdog_is_told_before_and_after_a_command():
    host = Host()
    with lvm_mend.awake_after(host, "vg/web", "vg/hs_1"):
        assert host.told == [BEGUN]
    assert host.told == [BEGUN, "hs_1"]


def test_of_a_command_that_failed_the_origin_is_woken_by_us_before_the_watchdog_is_told():
    host = Host()
    with pytest.raises(SnapshotError), lvm_mend.awake_after(host, "vg/web", "vg/hs_1"):
        raise SnapshotError("it fails")
    assert host.told == [BEGUN, "dmsetup info", "hs_1"]


def test_an_origin_that_we_could_not_wake_is_left_to_the_watchdog(mocker):
    host = Host()
    mocker.patch.object(host, "run", side_effect=UnavailableError("no dmsetup"))
    with pytest.raises(UnavailableError), lvm_mend.awake_after(host, "vg/web", "vg/hs_1"):
        raise SnapshotError("it fails")
    assert host.told == [BEGUN]


def test_of_a_command_that_is_stuck_the_watchdog_is_told_no_end():
    host = Host()
    with pytest.raises(CommandStuckError), lvm_mend.awake_after(host, "vg/web", "vg/hs_1"):
        raise CommandStuckError(("lvcreate",), 1, 300)
    assert host.told == [BEGUN, "dmsetup info"]
