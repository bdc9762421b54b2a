"""Wake logical volumes that were left suspended. Also a program: the watchdog over commands that suspend volumes.

SIGKILL in the critical section of lvcreate or lvremove, or of us while we hold several origins, leaves a live guest's
disk hanging until somebody resumes it. As a program, it hears on its standard input, line by line, «KEY SECONDS MAP…»
before a command that may suspend those maps (``inf`` seconds, or so many after which they are resumed in any case),
and «KEY» when all is well again. When the input closes with something untold, we are gone: it waits until the
command, which has KEY among its words, has ended too, and wakes what that left. It outlives what started it, and
uses nothing but the standard library, so that it is ready at once.
"""

from __future__ import annotations

import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

CHUNK = 4096
PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, *[10.0] * 60)
"Seconds between tries if dmsetup fails, for ten minutes: who gives up here leaves a guest hanging."
A_MOMENT = 1.0
"Seconds: longer than LVM keeps a volume suspended."
PATIENCE = 30.0
"Seconds that a command of a dead run may take before it counts as hanging itself, perhaps on what it has suspended."
COLUMNS = "name,suspended,tables_loaded,names_using_dev"
INFO = ("info", "--columns", "--noheadings", "--separator", " ", "--options", COLUMNS)
AWAKE = ("Active", "Live")


def wake(maps: Iterable[str], dmsetup: Callable[..., str], pause: Callable[[float], object]) -> None:
    """Resume those device-mapper maps that were left suspended, in that order. Nothing to do is the rule.

    A healthy LVM command of somebody else's suspends them for a moment, too: only what is the same after a
    pause was left behind. A table that waits is cleared before its map is resumed: resuming into a half-made
    table would give the guest an I/O error.
    """
    asleep = {name: state for name, state in _states(maps, dmsetup).items() if state != AWAKE}
    if not asleep:
        return
    pause(A_MOMENT)
    for name, state in _states(asleep, dmsetup).items():
        if state == asleep.get(name):
            if state[1] == "Both":
                dmsetup("clear", name)
            if state[0] == "Suspended":
                dmsetup("resume", name)


def _states(maps: Iterable[str], dmsetup: Callable[..., str]) -> dict[str, tuple[str, ...]]:
    """Whether each is suspended, and which tables it has; without those that are not there.

    LVM suspends an origin's other snapshots together with it, somebody else's too: they are looked at as well.
    """
    rows = {row[0]: row[1:] for line in dmsetup(*INFO).splitlines() if (row := line.split())}
    users = [name for real in maps if real.endswith("-real") for name in _users(rows.get(real, []))]
    others = [name for user in users for name in (f"{user}-cow", user)]
    return {name: tuple(rows[name][:2]) for name in dict.fromkeys([*maps, *others]) if name in rows}


def _users(row: list[str]) -> list[str]:
    return row[2].split(",") if len(row) > 2 else []  # noqa: PLR2004  with no users, the column is empty


class Told(NamedTuple):
    """What a command at work may suspend, and when it is resumed in any case."""

    maps: list[str]
    until: float


def main() -> None:
    """Listen for as long as there is somebody to listen to, then see to what was at work."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with suppress(OSError):  # also where the kernel's OOM killer ends a whole control group
        Path("/proc/self/oom_score_adj").write_text("-1000")
    told: dict[str, Told] = {}
    _listen(told)
    if told:
        _see_to(told)


def _listen(told: dict[str, Told]) -> None:
    """Note what is at work until the input closes; wake what has been suspended for too long."""
    heard = b""
    while True:
        if not _readable(0, min((one.until for one in told.values()), default=math.inf) - time.monotonic()):
            for key in [key for key, one in told.items() if one.until <= time.monotonic()]:
                _wake(told.pop(key).maps, time.sleep)
        elif chunk := os.read(0, CHUNK):
            *lines, heard = (heard + chunk).split(b"\n")
            for line in lines:
                _note(told, *line.decode().split())
        else:
            return


def _note(told: dict[str, Told], key: str, seconds: str = "", *maps: str) -> None:
    told.pop(key, None)
    if seconds:
        told[key] = Told(list(maps), time.monotonic() + float(seconds))


def _see_to(told: dict[str, Told]) -> None:
    """Wake what commands left, the one begun last first; none of them is disturbed while it is at work."""

    def pause(seconds: float) -> None:
        time.sleep(seconds)
        _wait_for(told)

    maps = list(dict.fromkeys(chain.from_iterable(one.maps for one in reversed(told.values()))))
    while True:
        _wait_for(told)
        _wake(maps, pause)
        time.sleep(A_MOMENT)  # one that was just being started bears no name yet
        if not _at_work(told):
            return


def _wait_for(keys: Collection[str]) -> None:
    """Wait until the commands with those keys have ended, or hang."""
    ends = time.monotonic() + PATIENCE
    while (pids := _at_work(keys)) and (left := ends - time.monotonic()) > 0:
        with suppress(ProcessLookupError):
            process = os.pidfd_open(pids[0])
            _readable(process, left)
            os.close(process)


def _at_work(keys: Collection[str]) -> list[int]:
    """Process ids of LVM's and device-mapper's commands on one of those volumes (``LV`` or ``VG/LV``) or maps."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit()
        and (words := _words(entry))[0].rpartition("/")[2].startswith(("lv", "dmsetup"))
        and any(word.rpartition("/")[2] in keys for word in words[1:])
    ]


def _words(process: Path) -> list[str]:
    try:
        return (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:  # it has just ended
        return [""]


def _wake(maps: list[str], pause: Callable[[float], None]) -> None:
    for later in (*PAUSES, None):
        try:
            wake(maps, _dmsetup, pause)
        except (OSError, subprocess.CalledProcessError):
            if later is None:
                raise
            time.sleep(later)
        else:
            return


def _dmsetup(*arguments: str) -> str:
    argv = ["dmsetup", *arguments]
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
    ).stdout


def _readable(descriptor: int, seconds: float) -> bool:
    """Wait until a descriptor can be read, or is at its end."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(None if math.isinf(seconds) else max(0, seconds) * 1000))


if __name__ == "__main__":
    main()
