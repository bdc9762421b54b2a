"""Freeze with one command and let go with another: promised, and watched over by a process beside us."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import msgspec

from holdstill import thaw_guard
from holdstill.facts import Fact, Facts
from holdstill.host import Companion, Host
from holdstill.host.failures import CommandFailedError, CommandStuckError
from holdstill.words import Hold, Promised, QuiesceOptions

PROGRAM = (sys.executable, "-I", "-S", str(Path(thaw_guard.__file__)))
DEADLINE = 60.0
"Seconds that letting go may take, whatever is left of a budget."


class Thaw(msgspec.Struct, frozen=True):
    """The command that lets go of what :func:`~holdstill.plugin.frozen` freezes.

    To run it twice, or when nothing was frozen, must be harmless.
    """

    what: str
    "What it lets go of, for people."
    argv: Sequence[str]
    "The command."
    nothing: str = ""
    "What it says on standard error if it fails because there is nothing to let go of: a regular expression."
    refusal: str = ""
    """What the command that freezes says if it has frozen nothing, as somebody else has before: a regular expression.
    Then nothing is let go of, as it is not ours."""
    by_hand: Sequence[str] = ()
    "What a person types to let go, if that is not the command itself."
    environment: Mapping[str, str] = msgspec.field(default_factory=dict)
    "Of both commands. It may be secret: it is not promised."
    facts: Mapping[str, Fact] = msgspec.field(default_factory=dict)
    "What is promised besides, for a ``holdstill_undo`` that has to find the environment again."

    @classmethod
    def of(cls, facts: Facts) -> Thaw:
        """Give the one that was promised, in ``holdstill_undo``."""
        argv, nothing = facts["thaw"], facts["nothing"]
        assert isinstance(argv, list)
        return cls("", argv, str(nothing))

    def run(self, host: Host) -> None:
        """Let go. Raises :class:`~holdstill.host.failures.CommandFailedError` if that is not possible."""
        try:
            host.run(*self.argv, deadline=DEADLINE, env=self.environment)
        except CommandFailedError as error:
            if not self.nothing or not re.search(self.nothing, error.answer.err):
                raise


@contextmanager
def frozen(
    freeze: Sequence[str], thaw: Thaw, options: QuiesceOptions, hold: Hold, host: Host
) -> Iterator[None]:
    """A context manager that runs the command ``freeze``, and ``thaw`` when it is left: in the times of the options.

    It is promised: ``holdstill_undo`` is to call ``Thaw.of(facts).run(host)``. And a process beside us watches over it
    from before ``freeze`` begins. Whatever ends us, and if it stays frozen for longer than ``at_most``, that process
    runs ``thaw``; and once more when ``freeze`` has ended, should that be at work still.

    Raises :class:`~holdstill.host.failures.CommandFailedError` if that process had to let go, as it took too long.
    """
    promised = hold.promise(
        thaw.what,
        by_hand=[*(thaw.by_hand or thaw.argv)],
        thaw=[*thaw.argv],
        nothing=thaw.nothing,
        afterwards=False,
        **thaw.facts,
    )
    with _guarded(thaw, options, host) as guard:
        with ExitStack() as at_the_end:
            guard.tell("freezing")
            at_the_end.callback(_let_go, thaw, promised, hold, host)
            try:
                host.run(*freeze, deadline=options.within, env=thaw.environment)
            except CommandStuckError:
                at_the_end.pop_all()  # it may freeze yet: the promise is kept when it has ended
                raise
            except CommandFailedError as error:
                if thaw.refusal and re.search(thaw.refusal, error.answer.err):
                    at_the_end.pop_all()
                    hold.undone(promised)
                    guard.tell("thawed")
                raise
            guard.tell("frozen")
            yield
        guard.tell("thawed")


def _let_go(thaw: Thaw, promised: Promised, hold: Hold, host: Host) -> None:
    thaw.run(host)
    hold.undone(promised)


def _guarded(thaw: Thaw, options: QuiesceOptions, host: Host) -> AbstractContextManager[Companion]:
    limits = (str(float(options.within)), str(float(options.at_most)))
    return host.companion(*PROGRAM, *limits, thaw.nothing, *thaw.argv, env=thaw.environment)
