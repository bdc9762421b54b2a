"""Commands that outlived the run that started them.

A run that is killed with SIGKILL leaves the command that it had just started: a losetup that attaches its loop
device a moment *after* recovery has looked for it would be a hold that nobody knows of. So every command
carries its run's id in its environment, and recovery waits for those that still run.
"""

from __future__ import annotations

import os
from pathlib import Path

MARK = "HOLDSTILL_STARTED_FOR"


def commands_of(run: str, session: int) -> list[int]:
    """Give the process ids of the commands that a run in that login session (setsid(2)) started and that still run.

    Daemons that a command left behind (LVM starts one) do not count: they left the session.
    """
    wanted = f"{MARK}={run}".encode()
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [
        pid for pid in pids if pid != os.getpid() and wanted in _environment(pid) and _session(pid) == session
    ]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has just ended, or is not ours to look at
        return []


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1
