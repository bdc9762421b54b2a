"""What can go wrong at a command: it fails, it hangs, somebody kills it, or the process that runs it dies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What happens."""

    FAIL = "fails"
    "The command does nothing and exits with an error."
    FAIL_AFTER = "fails after it was done"
    "The command does its work, and exits with an error all the same."
    KILLED = "is killed on the way"
    "Somebody kills the command (an operator, the kernel for want of memory) when it has done a part of its work."
    HANG = "hangs, and is ended"
    "The command does nothing, and is ended at its deadline."
    SLOW = "takes its time"
    "The command takes longer than questions may, and does its work, unless it is ended at its deadline."
    STUCK = "hangs, and cannot be ended"
    "The command is left to itself at its deadline, and does its work when nobody waits for it any more."
    DIE_BEFORE = "dies before"
    "The process is killed before the command starts."
    DIE_DURING = "dies during"
    "The process is killed, and the command with it when it has done a part of its work."
    DIE_AFTER = "dies after"
    "The process is killed when the command has ended."
    DIE_LEAVING = "dies, and leaves it"
    "The process is killed, and the command goes on without it."


DEATHS = (Kind.DIE_BEFORE, Kind.DIE_DURING, Kind.DIE_AFTER, Kind.DIE_LEAVING)
"What a process does not go on after."
FAILURES = (Kind.FAIL, Kind.FAIL_AFTER, Kind.KILLED, Kind.HANG, Kind.STUCK)
"What the process that runs the command hears of."
OF_QUESTIONS = (Kind.FAIL, Kind.STUCK)
"Failures of a command that changes nothing: how much of its work is done makes no difference."


@dataclass(frozen=True)
class Fault:
    """A fault at one command of a run: the first is number 0."""

    at: int
    kind: Kind


class Killed(BaseException):
    """The process was killed here: nothing that would be done later is done."""


def killed() -> None:
    """End as if the process were killed here."""
    raise Killed
