"""Processes of this host, as tests look for them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def processes_with(*words: str) -> list[int]:
    """Give those whose command lines have all these words in them."""
    return [pid for pid, line in command_lines() if all(word.encode() in line for word in words)]


def command_lines() -> Iterator[tuple[int, bytes]]:
    """Give the command line of each."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "cmdline").read_bytes()
            except OSError:
                continue


def name(pid: int) -> str:
    """Give what a process is called (proc_pid_comm(5)); nothing if it has ended."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def children(pid: int) -> list[int]:
    """Give those that a process has started."""
    return [child for child, _ in command_lines() if parent(child) == pid]


def session(pid: int) -> list[int]:
    """Give a process, and those in its session (setsid(2)) if it leads one."""
    return [pid, *(one for one, _ in command_lines() if session_of(one) == pid)]


def session_of(pid: int) -> int:
    """Give the process that leads its session; 0 if it has ended."""
    try:
        return os.getsid(pid)
    except OSError:
        return 0


def runs(pid: int) -> bool:
    """Whether a process has not ended, reaped or not."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""
    except OSError:
        return False


def parent(pid: int) -> int:
    """Give a process' parent (proc_pid_stat(5)); 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
