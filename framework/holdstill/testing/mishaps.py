"""What becomes of a modelled command at which something goes wrong, and of the process that runs it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING

from holdstill.errors import HoldstillError
from holdstill.host import Answer
from holdstill.host.command import GENTLE, PATIENCE
from holdstill.host.failures import CommandFailedError, CommandStuckError
from holdstill.testing.commands import perform
from holdstill.testing.commands.partway import do_a_part
from holdstill.testing.faults import DEATHS, Kind

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

KILLED, FAILED = -9, 70
SLOWNESS = 100.0
"Seconds that a command takes that takes its time."


def suffer(machine: Machine, argv: tuple[str, ...], kind: Kind, deadline: float) -> Answer:
    """Run a command at which something goes wrong, and give its answer, if it has one and the process lives.

    Raises CommandFailedError or CommandStuckError for a command that hangs.
    """
    if kind is Kind.SLOW:
        return _take_time(machine, argv, deadline)
    _work(machine, argv, kind)
    if kind in DEATHS:
        machine.on_death()
    if kind is Kind.STUCK:
        machine.spent += deadline
        raise _stuck(machine, argv, deadline)
    if kind is Kind.HANG:
        machine.spent += deadline
        raise _ended(machine, argv, deadline)
    return Answer(argv, KILLED if kind is Kind.KILLED else FAILED, err=f"the modelled command {kind}")


def _take_time(machine: Machine, argv: tuple[str, ...], deadline: float) -> Answer:
    """Work for a while. What may not be killed goes on when it is told to end, and is waited for."""
    gentle = argv[0].rpartition("/")[2] in GENTLE
    machine.spent += min(SLOWNESS, deadline)
    if deadline >= SLOWNESS:
        return perform(machine, argv)
    if gentle and SLOWNESS - deadline > min(PATIENCE, machine.interruption.left_for_all):
        _work(machine, argv, Kind.STUCK)
        raise _stuck(machine, argv, deadline)
    if gentle:
        machine.spent += SLOWNESS - deadline
        perform(machine, argv)
    else:
        _work(machine, argv, Kind.KILLED)
    raise _ended(machine, argv, deadline)


def _stuck(machine: Machine, argv: tuple[str, ...], deadline: float) -> CommandStuckError:
    machine.spent += min(PATIENCE, machine.interruption.left_for_all)
    return CommandStuckError(argv, len(machine.kernel.at_work), deadline)


def _ended(machine: Machine, argv: tuple[str, ...], deadline: float) -> HoldstillError:
    """Say why a command was ended, as the real host does: because the time of all is over, or its own."""
    machine.interruption.check()
    return CommandFailedError(Answer(argv, KILLED), f"did not end within {deadline:g} s and was ended")


def _work(machine: Machine, argv: tuple[str, ...], kind: Kind) -> None:
    """Do as much of the command's work as gets done."""
    if kind in {Kind.FAIL_AFTER, Kind.DIE_AFTER}:
        perform(machine, argv)
    elif kind in {Kind.KILLED, Kind.DIE_DURING}:
        do_a_part(machine, argv)
    elif kind in {Kind.STUCK, Kind.DIE_LEAVING}:
        machine.kernel.at_work.append((machine.started, tuple(map(_inherited, argv))))


def _inherited(word: str) -> str:
    """Give what a command has of its own of a descriptor of ours: that stays open, whatever we do with ours."""
    return str(Path(word).readlink()) if word.startswith("/proc/self/fd/") else word


def show_deaths(machine: Machine, argv: tuple[str, ...]) -> None:
    """Show the witness how things would be if the process died now: before the command, or while it is at work."""
    assert machine.witness
    for kind in (Kind.DIE_BEFORE, Kind.DIE_LEAVING, Kind.DIE_DURING):
        kernel = machine.kernel
        machine.kernel = copy.deepcopy(kernel)
        _work(machine, argv, kind)
        machine.witness()
        machine.kernel = kernel
