"""A program beside a run that lets go of what the run froze, if the run cannot.

It is told «frozen» and «thawed» on its standard input. If that closes before «thawed», the run is gone; if more than
its limit goes by after «frozen», the run hangs: then it lets go itself, and tries until that succeeds, and until the
command that freezes has ended: it may outlive the run. It uses nothing but the standard library, so that it is ready at
once.
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
CHUNK = 4096
MARK = "HOLDSTILL_STARTED_FOR"
"The variable that the run's commands bear, as we do; see «holdstill.host.orphans»."


def main(within: float, at_most: float, nothing: str, thaw: Sequence[str]) -> int:
    """Watch; give 0 if there was nothing to do."""
    session = os.getsid(os.getppid())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # who lives lets go itself; who does not
        signal.signal(number, _pass_over)  # closes the pipe; ignored, they would be by what thaws, too
    print("ready", flush=True)
    limit: float | None = within + at_most
    while said := _said(limit):
        limit = None if said == "thawed" else at_most
    if limit is None:
        return 0
    for pause in (*PAUSES, 0.0):
        may_freeze_yet = _at_work(session)
        if let_go(thaw, nothing) and not may_freeze_yet:
            break
        time.sleep(pause)
    return 1


def _pass_over(_number: int, _frame: object) -> None:
    """Do nothing."""


def _said(limit: float | None) -> str:
    """Wait for the next thing that we are told; empty if the input closes, or nothing comes in time."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if poll.poll(None if limit is None else limit * 1000):
        return os.read(0, CHUNK).decode().rstrip("\n").rpartition("\n")[2]
    print(f"it was let go of after {limit:g} s, the longest that it may be held", file=sys.stderr)
    return ""


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


def _at_work(session: int) -> bool:
    """Whether a command of the run, which was in that session (setsid(2)), is still there.

    One that is being started counts: our input closed when it had begun its execve(2), in the middle of which a
    process has no environment.
    """
    mark = f"{MARK}={os.environ.get(MARK, '')}\0".encode()
    try:
        processes = list(Path("/proc").iterdir())
    except OSError:  # for want of memory, say: as long as we cannot look, it may be
        return True
    for entry in processes:
        with suppress(OSError, ValueError):  # it has just ended, or is no process
            if os.getsid(int(entry.name)) == session and _is_marked(entry, mark):
                return True
    return False


def _is_marked(process: Path, mark: bytes) -> bool:
    variables = (process / "environ").read_bytes()
    if variables:
        return mark in variables
    ended = (process / "stat").read_text().rpartition(")")[2].split()[0] in {"Z", "X"}
    return not ended and not (process / "cmdline").read_bytes()


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3], sys.argv[4:]))
