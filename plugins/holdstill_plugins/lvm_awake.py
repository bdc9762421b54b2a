"""Wake logical volumes that were left suspended. Also a program: the watchdog over volumes that we suspend.

SIGKILL in the critical section of lvcreate or lvremove, or of us while we hold several origins, leaves a live guest's
disk hanging until somebody resumes it. As a program, ``lvm_awake.py SECONDS MAP…`` says that it is ready, waits
until its standard input closes or the time is over, and wakes. It outlives what started it, and uses nothing but
the standard library, so that it is ready at once.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable

A_MOMENT = 1.0
"Seconds: longer than LVM keeps a volume suspended."
INFO = ("info", "--columns", "--noheadings", "--separator", " ", "--options", "name,suspended,tables_loaded")
AWAKE = ("Active", "Live")


def wake(maps: Iterable[str], dmsetup: Callable[..., str], pause: Callable[[float], None]) -> None:
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
        if state == asleep[name]:
            if state[1] == "Both":
                dmsetup("clear", name)
            if state[0] == "Suspended":
                dmsetup("resume", name)


def _states(maps: Iterable[str], dmsetup: Callable[..., str]) -> dict[str, tuple[str, ...]]:
    """Whether each is suspended, and which tables it has; without those that are not there."""
    rows = {row[0]: tuple(row[1:]) for line in dmsetup(*INFO).splitlines() if (row := line.split())}
    return {name: rows[name] for name in maps if name in rows}


def main(seconds: str, *maps: str) -> None:
    """Watch over maps that somebody is about to suspend."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.write(1, b"ready\n")
    select.select([0], [], [], float(seconds))
    while True:
        try:
            wake(maps, _dmsetup, time.sleep)
        except subprocess.CalledProcessError:
            time.sleep(A_MOMENT)  # somebody who would give up here would leave a guest hanging
        else:
            return


def _dmsetup(*arguments: str) -> str:
    done = subprocess.run(["dmsetup", *arguments], stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
