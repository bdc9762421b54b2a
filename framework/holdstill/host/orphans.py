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
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and _is_of(pid, run) and _session(pid) == session]


def _is_of(pid: int, run: str) -> bool:
    """Whether a process bears the run's mark. In the middle of execve(2) it has none yet, and may be to bear it."""
    return f"{MARK}={run}".encode() in _words(pid, "environ") or _is_in_execve(pid)


def _is_in_execve(pid: int) -> bool:
    """Whether a process has neither arguments nor an environment, and has not ended."""
    return _words(pid, "environ") == _words(pid, "cmdline") == [b""] and not _has_ended(pid)


def _has_ended(pid: int) -> bool:
    """Whether it is only waited for by its parent, or gone (proc_pid_stat(5), field 3)."""
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in {b"Z", b"X"}
    except OSError:
        return True


def _words(pid: int, file: str) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/{file}").read_bytes().split(b"\0")
    except OSError:  # it has just ended, or is not ours to look at
        return []


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1
