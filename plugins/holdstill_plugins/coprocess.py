"""``coprocess``: any program, in any language, that makes an application quiet and lets go when its input closes.

It is started when the guest is to be quiet. It makes the application quiet and prints a line, any one, on standard
output. Then it reads its standard input, and when that is at its end it lets go and exits with 0. The input ends
when the snapshot is made, when ``at-most`` is over, and when holdstill dies, whatever it dies of. What the program says
on standard error is in the message if it fails. If it ends with anything but 0, or does not end, it may not have let
go: the job fails, whatever ``if-not-quiet`` says. Its environment has HOLDSTILL_JOB, HOLDSTILL_RUN and HOLDSTILL_GUEST.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdstill.plugin import Complaint, Hold, Host, Step, hookimpl
from holdstill_plugins import program


class Options(program.ProgramOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which program it is."""

    run: str | list[str]
    "The program with its arguments. No shell: quotes group words, and nothing else is special."

    def __post_init__(self) -> None:
        """Refuse what names no program, and a secret in place of a reference. Raises ValueError."""
        super().__post_init__()
        program.words(self.run, "run")


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need the programs and the secrets."""
    programs = [program.words(step.options.run, "run")[0] for step in steps]
    secrets = [reference for step in steps for reference in step.options.secrets.values()]
    return program.complaints(programs, secrets, host)


@hookimpl
@contextmanager
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> Iterator[None]:
    """Have the program beside us while the snapshot is made."""
    del hold
    options = step.options
    with host.companion(
        *program.words(options.run, "run"),
        limit=options.within,
        at_most=options.at_most,
        env=program.environment(options.secrets, host) | program.told(step),
    ):
        yield
