"""A person at a terminal, as the tutorial is written for."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

MARK = "=== tutorial"
END = re.compile(rf"{MARK} (\d+) (\d+)\n")
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")


def type_in(lines: Sequence[str], folder: Path) -> list[tuple[int, str]]:
    """Type lines into one shell in ``folder``; give the status and the output of each."""
    script = "".join(
        f"{line}\nstatus=$?; echo '{MARK}' {number} $status; (exit $status)\n"
        for number, line in enumerate(lines)
    )
    said = ESCAPES.sub("", _run(script, folder))
    parts = END.split(said)
    return [(int(parts[at + 2]), parts[at]) for at in range(0, len(parts) - 2, 3)]


def _run(script: str, folder: Path) -> str:
    ours, theirs = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        return _read_all(ours)
    finally:
        os.close(ours)
        shell.wait(timeout=180)


def _environment() -> dict[str, str]:
    """No setting of this process gets through; no colours or moving bars."""
    here = str(Path(sys.executable).parent)
    path = f"{here}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": path, "HOME": "/root", "TERM": "dumb", "LC_ALL": "C.UTF-8"}


def _read_all(descriptor: int) -> str:
    """Read until the last process has closed the terminal: then Linux says EIO."""
    said = b""
    with suppress(OSError):
        while chunk := os.read(descriptor, 65536):
            said += chunk
    return said.decode()
