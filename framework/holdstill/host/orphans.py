"""Commands that outlived the run that started them.

A run that is killed with SIGKILL leaves the command that it had just started: a losetup that attaches its loop
device a moment *after* recovery has looked for it would be a hold that nobody knows of. So every command
carries its run's id in its environment, and recovery waits for those that still run.
"""

from __future__ import annotations

import os
from pathlib import Path

MARK = "HOLDSTILL_RUN"


def commands_of(run: str) -> list[int]:
    """Give the process ids of the commands that a run started and that still run.

    Daemons that a command left behind (LVM starts one) do not count: they lead a session of their own.
    """
    wanted = f"{MARK}={run}".encode()
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and wanted in _environment(pid) and _is_no_daemon(pid)]


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has just ended, or is not ours to look at
        return []


def _is_no_daemon(pid: int) -> bool:
    try:
        return os.getsid(pid) != pid
    except OSError:
        return False
