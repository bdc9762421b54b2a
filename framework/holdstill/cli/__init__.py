"""The command line: a file a subcommand, imported only when it is called."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import NoReturn


def main() -> None:
    """Run ``holdstill`` with the process's arguments, and exit."""
    _have_standard_streams()
    _hear_how_children_end()
    words = _words()
    if words == ["--version"]:  # answered before click is imported: it should cost nothing
        from holdstill import __version__
        from holdstill.cli.output import say

        say(f"holdstill {__version__}")
        return
    from holdstill.cli.app import call

    _leave(call(words))


def _hear_how_children_end() -> None:
    """Should our caller ignore the end of its children, so would we: Python takes each for a success then."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _words() -> list[str]:
    """Give the command line, also where a link to us bears the name of a backup program's hook."""
    program = sys.argv[0].rpartition("/")[2]
    if program in {"holdstill", "__main__.py"}:
        return sys.argv[1:]
    from holdstill.callers import words_of

    return words_of(program, sys.argv[1:])


def _leave(code: int) -> NoReturn:
    """End at once. Taking Python down in order would take a tenth of the time of a short command.

    Everything of ours is on disk or with the kernel by now: journals are synced, locks go with the process.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


def _have_standard_streams() -> None:
    """Fill descriptors 0 to 2, should our caller have closed one: a journal must never become our output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
