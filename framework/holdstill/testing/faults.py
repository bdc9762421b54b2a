"""What can go wrong at a command: it fails, or the process that runs it dies."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What happens."""

    FAIL = "fails"
    "The command does nothing and exits with an error."
    FAIL_AFTER = "fails after it was done"
    "The command does its work, and exits with an error all the same."
    DIE_BEFORE = "dies before"
    "The process is killed before the command starts."
    DIE_AFTER = "dies after"
    "The process is killed when the command has ended."


@dataclass(frozen=True)
class Fault:
    """A fault at one command of a run: the first is number 0."""

    at: int
    kind: Kind


class Killed(BaseException):
    """The process was killed here: nothing that would be done later is done."""
