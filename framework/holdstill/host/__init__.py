"""The one way from holdstill to the machine."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

from holdstill.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


class Answer(msgspec.Struct, frozen=True):
    """What a command said."""

    argv: tuple[str, ...]
    status: int
    out: str = ""
    err: str = ""


class NodeKind(StrEnum):
    """What is at a path."""

    FILE = "file"
    FOLDER = "folder"
    BLOCK = "block device"
    OTHER = "other"


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What a path leads to, links followed."""

    kind: NodeKind
    size: int
    "Bytes; for a block device, its capacity."
    number: str = ""
    "``MAJOR:MINOR`` of a block device; empty for anything else."
    changed: int = 0
    "When its content last changed, in nanoseconds since the epoch."


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who keeps a mount or a device open."""

    place: str
    "What is kept open: a mount point, or a device."
    name: str
    "What a person knows it by: a program's name, a mount point, a device."
    how: str
    "``open file``, ``working folder``, ``mounted at … in its mount namespace``."
    pid: int = 0
    "The process; 0 where it is none."

    def __str__(self) -> str:
        who = f"{self.name} (pid {self.pid}, {self.how})" if self.pid else f"{self.name} ({self.how})"
        return f"{printable(who)} at {self.place}"


class Companion(Protocol):
    """A program that runs beside us."""

    def tell(self, line: str) -> None:
        """Write a line to its standard input.

        Raises :class:`~holdstill.host.failures.CommandFailedError` if it has ended, or was told to let go, already.
        """

    def hear(self, within: float) -> str:
        """Wait for the next line of its standard output, at most ``within`` seconds.

        Raises :class:`~holdstill.host.failures.CommandFailedError` if there is none.
        """

    @property
    def first(self) -> str:
        """The line by which it said that it is ready."""


class Host(Protocol):
    """The machine, as steps see it: the real one, a model of it, or one that only plans.

    Commands are argv lists, run without a shell, in a scrubbed environment, in a process group of
    their own, without any descriptor of ours, and never longer than their deadline.
    """

    def ask(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        deadline: float = 60,
        env: Mapping[str, str] | None = None,
    ) -> Answer:
        """Run a command that changes nothing. A plan asks for real.

        Raises :class:`~holdstill.host.failures.CommandFailedError` when its status is not in ``ok``.
        """

    def run(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        deadline: float = 300,
        planned: str = "",
        env: Mapping[str, str] | None = None,
        watch: Callable[[str], None] | None = None,
    ) -> Answer:
        """Run a command that changes the machine: only after its promise.

        A plan does not run it and answers ``planned``, what it would have printed. ``env`` is added to
        the scrubbed environment. ``watch`` gets what the command prints on standard error, as it comes.
        """

    def companion(
        self,
        *argv: str,
        limit: float = 30,
        at_most: float = math.inf,
        told: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> AbstractContextManager[Companion]:
        """Have a program beside us that holds, or watches over, something, and lets go by itself if we die.

        It is told the lines ``told``, and says that it is ready by printing a line, within ``limit`` seconds. It is to
        let go and to end when its standard input closes: on leaving the ``with``, ``at_most`` seconds after it was
        ready, or because we ended, whatever ended us. ``env`` is added to the scrubbed environment, and not logged.

        Raises :class:`~holdstill.host.failures.CommandFailedError` if it is not ready in time, if it has ended before
        it was left, as then it has let go too early, and if it does not end with status 0: then it may hold still.
        """

    def beside(self, *argv: str) -> Companion:
        """Give a program that stays beside us until we end, whatever ends us; always the same, as long as it runs.

        It is started when it is asked for first, and not waited for: what it is told by then, it hears when it is
        ready. Its standard input closes when we end; then it is to do what is left to be done, and to end.

        Raises :class:`~holdstill.errors.UnavailableError` if it cannot be started.
        """

    def shielded(self) -> AbstractContextManager[None]:
        """Do inside what must be done though a stop is asked for, or a time is over: put right what was cut off.

        The framework does so while it lets go. Not for what can wait until then.
        """

    def alone_with(self, *disks: str, within: float = 60) -> AbstractContextManager[None]:
        """Have guests' disks to ourselves for a moment, among all runs of this host, whatever paths they know them by.

        The framework does so while it holds a guest still; a plugin does around what could disturb that: resuming an
        origin, or extending a snapshot. Not to be nested, and not for as long as a backup takes.

        Raises :class:`~holdstill.errors.UnavailableError` if others have one for longer than ``within`` seconds.
        """

    def look(self, path: str) -> Node | None:
        """Tell what is at ``path``; ``None`` if there is nothing."""

    def read(self, path: str) -> str:
        """Read a small text file of the host itself: ``/proc``, ``/sys``, a setting."""

    def write(self, path: str, content: str) -> None:
        """Write a small file of ours, readable by all: only after its promise."""

    def started_for(self, run: str) -> None:
        """Mark every command from now on as started for the run of that id."""

    def still_running(self, run: str, session: int) -> list[int]:
        """Give the process ids of commands that a dead process, in that session (setsid(2)), started for a run."""

    def pause(self, seconds: float, *, until: Sequence[int] = ()) -> float:
        """Wait between two looks at something that tells no event of its end; give how many seconds it was.

        The end of one of the processes ``until`` is such an event, and ends the pause.
        """

    def holders(self, places: Sequence[str]) -> tuple[Holder, ...]:
        """Tell who has open, at this moment, what is mounted at or behind ``places``: mount points and block devices.

        All of a run's places at once: a mount that is one of them is none that keeps another one open.
        """

    def beneath(self, root: str, path: str) -> AbstractContextManager[str]:
        """Hold on to the folder or file ``path`` inside a guest's tree, following no link on the way.

        Gives a name for it that only commands run inside the ``with`` can use, and that stays the same
        thing whatever the guest's tree does meanwhile.

        Raises :class:`~holdstill.errors.GuestUnusableError` if a link is on the way, or nothing is there.
        """

    def read_beneath(self, root: str, path: str) -> str | None:
        """Read a small text file inside a guest's tree, as :meth:`beneath` reaches it; ``None`` if there is none.

        Raises :class:`~holdstill.errors.GuestUnusableError` if it is no plain file, or longer than 256 KiB.
        """

    def installed(self, tool: str) -> bool:
        """Tell whether a command of that name can be run."""
