"""The one way from holdstill to the machine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import msgspec

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

    def companion(self, *argv: str, limit: float = 30) -> AbstractContextManager[str]:
        """Have a program beside us that holds, or watches over, something, and lets go by itself if we die.

        It says that it is ready by printing a line, which is given, within ``limit`` seconds; it is to let go
        and to end when its standard input closes: on leaving the ``with``, or because we ended, whatever ended us.

        Raises :class:`~holdstill.host.failures.CommandFailedError` if it is not ready in time, or if it has ended
        before it was left: then it has let go too early.
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

    def pause(self, seconds: float) -> None:
        """Wait between two looks at something that tells no event of its end."""

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
