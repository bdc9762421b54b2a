"""A program beside a run that lets go of what the run froze, if the run cannot.

It is told «freezing» before the command that freezes begins, «frozen» when that has ended, and «thawed», on its
standard input. If that closes in between, the run is gone; if more than its limit goes by, the run hangs: then it lets
go itself, and tries until that succeeds. The command that freezes may outlive the run, or its deadline: then it lets go
at once, in case that is what the command waits for, and again when the command has ended. It uses nothing but the
standard library, so that it is ready at once.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

PAUSES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, *[10.0] * 60)
"Seconds between tries if the command fails, for ten minutes: who gives up here leaves an application frozen."
LONGEST_TRY = 600.0
"Seconds after which a command that thaws hangs: another one may get through."
BETWEEN_LOOKS = 0.2
"Seconds between two looks at whether the command that freezes has ended; it is no child of ours."
LONGEST_WAIT = 20 * 86400.0
"Seconds; poll(2) takes no more milliseconds than fit an int."
CHUNK = 4096
MARK = "HOLDSTILL_STARTED_FOR"
"The variable that the run's commands bear, as we do; see «holdstill.host.orphans»."


def main(within: float, at_most: float, nothing: str, thaw: Sequence[str]) -> int:
    """Watch; give 0 if there was nothing to do."""
    run = Run(os.getppid())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # who lives lets go itself; who does not
        signal.signal(number, _pass_over)  # closes the pipe; ignored, they would be by what thaws, too
    print("ready", flush=True)
    limits = {"freezing": within + at_most, "frozen": at_most}
    state = ""
    while said := _said(limits.get(state)):
        state = said
    if state not in limits:
        return 0
    may_freeze_yet = state == "freezing" and run.is_at_work
    if may_freeze_yet and _goes_on_alone():
        return 1
    let_go_at_last(thaw, nothing)
    if may_freeze_yet:
        while run.is_at_work:
            time.sleep(BETWEEN_LOOKS)
        let_go_at_last(thaw, nothing)
    return 1


def _goes_on_alone() -> bool:
    """Have a child go on in our place, if there is memory for one: a run that lives does not wait for us long."""
    with suppress(OSError):
        return os.fork() > 0
    return False


def _pass_over(_number: int, _frame: object) -> None:
    """Do nothing."""


def _said(limit: float | None) -> str:
    """Wait for the next thing that we are told; empty if the input closes, or nothing comes in time."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if poll.poll(None if limit is None else min(limit, LONGEST_WAIT) * 1000):
        return os.read(0, CHUNK).decode().rstrip("\n").rpartition("\n")[2]
    print(
        f"it was let go of after {limit:g} s, the longest that it may be held: see its 'at-most'",
        file=sys.stderr,
    )
    return ""


def let_go_at_last(thaw: Sequence[str], nothing: str) -> None:
    """Let go, and try again as long as that is not possible."""
    for pause in PAUSES:
        if let_go(thaw, nothing):
            return
        time.sleep(pause)


def let_go(thaw: Sequence[str], nothing: str) -> bool:
    """Try to let go; say whether it has. Nothing that goes wrong is to end us, as the next try may do it."""
    try:
        done = subprocess.run(
            thaw,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=LONGEST_TRY,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0 or bool(nothing and re.search(nothing, done.stderr))


class Run:
    """The run beside which we are, as /proc shows it."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._session = os.getsid(pid)
        self._words = _read(Path(f"/proc/{pid}/cmdline"))
        self._mark = f"{MARK}={os.environ.get(MARK, '')}\0".encode()

    @property
    def is_at_work(self) -> bool:
        """Whether a command of the run, which was in its session (setsid(2)), is still there."""
        try:
            processes = list(Path("/proc").iterdir())
        except OSError:  # for want of memory, say: as long as we cannot look, it may be
            return True
        for process in processes:
            with suppress(OSError, ValueError):  # it has just ended, or is no process
                if os.getsid(int(process.name)) == self._session and self._is_command(process):
                    return True
        return False

    def _is_command(self, process: Path) -> bool:
        """Whether a process bears the run's mark, or is about to.

        Until its execve(2) it is a copy of the run; in the middle of that it has neither an environment nor words.
        """
        if variables := (process / "environ").read_bytes():
            is_copy = self._words and _read(process / "cmdline") == self._words
            return self._mark in variables or bool(is_copy and process.name != str(self._pid))
        ended = (process / "stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
        return not ended and not (process / "cmdline").read_bytes()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]))
