"""Freeze with one command and let go with another: promised, and watched over by a process beside us."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from holdstill.plugin import (
    CommandFailedError,
    CommandStuckError,
    Companion,
    Facts,
    Hold,
    Host,
    Promised,
    QuiesceOptions,
)
from holdstill_plugins import program, thaw_guard

PROGRAM = (sys.executable, "-I", "-S", str(Path(thaw_guard.__file__)))
DEADLINE = 60.0
"Seconds that letting go may take, whatever is left of a budget."


class Thaw(NamedTuple):
    """How something is let go of: to do it twice, or when it was never frozen, must be harmless."""

    what: str
    "What is undone, for people."
    argv: Sequence[str]
    nothing: str = ""
    "What the command says on standard error if it fails because there is nothing to let go of: a regular expression."
    variables: Sequence[str] = ()
    "Of its environment, ``NAME=VALUE`` each."
    secrets: Sequence[str] = ()
    "Those whose values are secret, ``NAME=REFERENCE`` each."
    refusal: str = ""
    """What the command that freezes says if it has frozen nothing, as somebody else has before: a regular expression.
    Then nothing is let go of, as it is not ours."""
    typed: Sequence[str] = ()
    "What a person types to let go, if that is shorter than the command."

    def run(self, host: Host) -> None:
        """Let go. Raises CommandFailedError if that is not possible."""
        try:
            host.run(*self.argv, deadline=DEADLINE, env=self.environment(host))
        except CommandFailedError as error:
            if not self.nothing or not re.search(self.nothing, error.answer.err):
                raise

    @property
    def by_hand(self) -> list[str]:
        """What a person types to let go. What is secret must be known to whoever does."""
        variables = ("env", *self.variables) if self.variables else ()
        return [*variables, *(self.typed or self.argv)]

    def environment(self, host: Host) -> dict[str, str]:
        """Give the variables, with what is secret."""
        return _by_name(self.variables) | program.environment(_by_name(self.secrets), host)


def _by_name(written: Sequence[str]) -> dict[str, str]:
    return {name: value for name, _, value in (one.partition("=") for one in written)}


@contextmanager
def frozen(
    freeze: Sequence[str], thaw: Thaw, options: QuiesceOptions, hold: Hold, host: Host
) -> Iterator[None]:
    """Run ``freeze``, and ``thaw`` when the ``with`` is left: in the times of the options, promised, and watched over.

    Raises CommandFailedError if the watching process had to let go, as it took too long: also if it could not say so
    before it ended, as it tries until no command of the run is at work.
    """
    environment = thaw.environment(host)
    promised = hold.promise(
        thaw.what,
        by_hand=thaw.by_hand,
        thaw=[*thaw.argv],
        nothing=thaw.nothing,
        variables=[*thaw.variables],
        secrets=[*thaw.secrets],
    )
    with _beside_us(thaw, environment, options, host) as guard:
        with ExitStack() as at_the_end:
            at_the_end.callback(_let_go, thaw, promised, hold, host)
            try:
                host.run(*freeze, deadline=options.within, env=environment)
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


def _beside_us(
    thaw: Thaw, environment: Mapping[str, str], options: QuiesceOptions, host: Host
) -> AbstractContextManager[Companion]:
    limits = (str(float(options.within)), str(float(options.at_most)))
    return host.companion(*PROGRAM, *limits, thaw.nothing, *thaw.argv, env=environment)


def command(facts: Facts) -> list[str]:
    """Give the command that lets go of what was promised."""
    return _texts(facts, "thaw")


def undo(facts: Facts, host: Host) -> None:
    """Let go of what a dead run froze, or was about to."""
    thaw, variables, secrets = (_texts(facts, key) for key in ("thaw", "variables", "secrets"))
    Thaw("", thaw, str(facts["nothing"]), variables, secrets).run(host)


def _texts(facts: Facts, key: str) -> list[str]:
    value = facts[key]
    assert isinstance(value, list)
    return value
