"""Commands run on this side, and the lab's one kind of error."""

from __future__ import annotations

import os
import subprocess
import textwrap
from pathlib import Path

from .needs import PATH


class LabError(Exception):
    """The lab itself failed: a sentence that says what, with the output that shows why."""


def run(*argv: str | Path, limit: float = 900) -> str:
    """Run a command and return what it wrote; raise with its last lines if it fails or takes too long."""
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
            env={**os.environ, "PATH": PATH},
        )
    except subprocess.TimeoutExpired as late:
        raise LabError(f"'{_brief(words)}' did not end within {limit:.0f} s.") from late
    if done.returncode:
        raise LabError(f"'{_brief(words)}' exited {done.returncode}:\n{last_lines(done.stdout)}")
    return done.stdout


def _brief(words: list[str]) -> str:
    return textwrap.shorten(" ".join(words), 100, placeholder=" …")


def last_lines(text: str, count: int = 40) -> str:
    """Return the end of ``text``, which is where a failure explains itself."""
    return "\n".join(text.rstrip().splitlines()[-count:])
