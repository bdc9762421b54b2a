"""Failures of commands, as sentences."""

from __future__ import annotations

import shlex

from holdstill.errors import ExitCode, HoldstillError
from holdstill.host import Answer
from holdstill.text import printable

TAIL = 600
"How much of a command's complaint goes into ours, in characters."


class CommandFailedError(HoldstillError):
    """A command did not do what was asked of it."""

    code = ExitCode.OS

    def __init__(self, answer: Answer, why: str = "") -> None:
        self.answer = answer
        self.why = why or how_it_ended(answer.status)
        "What went wrong, without what the command said."
        super().__init__(f"«{shlex.join(answer.argv)}» {self.why}{_said(answer)}")


class NotLetGoError(CommandFailedError):
    """A program beside us failed when it was to let go: what it held may be held still."""


class CommandStuckError(HoldstillError):
    """A command is past its deadline and still there: it may not be killed, or it cannot be."""

    code = ExitCode.STILL_HELD

    def __init__(self, argv: tuple[str, ...], pid: int, deadline: float) -> None:
        super().__init__(
            f"«{shlex.join(argv)}» (pid {pid}) did not end within {deadline:g} s and was left to itself: "
            f"killing it could do more harm. Look at «ps -o stat,wchan:30,cmd {pid}»; when it has gone, "
            f"«holdstill recover» puts right what it left."
        )


def how_it_ended(status: int) -> str:
    """Say what a status means that is not 0."""
    return f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"


def _said(answer: Answer) -> str:
    said = printable((answer.err.strip() or answer.out.strip())[-TAIL:])
    return f": {said}" if said else ""
