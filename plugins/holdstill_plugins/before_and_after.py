"""``before-and-after``: a command that makes an application quiet, and one that lets it go, for what has only that.

``after`` is run when the snapshot is made. If holdstill dies, or takes longer than ``at-most``, a process beside it
runs ``after``; and it is promised: if that process was killed as well, the next run or «holdstill recover» runs it. So
it may be run twice, or when ``before`` had not got far, and must then do nothing and succeed. Their environment has
HOLDSTILL_JOB, HOLDSTILL_RUN and HOLDSTILL_GUEST. Have secrets in files, as others may have to run
``after``. Where you can, write a ``coprocess`` instead: it cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager

import msgspec

from holdstill.plugin import Complaint, Facts, Hold, Host, Step, Thaw, frozen, hookimpl
from holdstill_plugins import program


class Options(program.ProgramOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which commands they are."""

    before: str | list[str]
    "The program that makes the application quiet, with its arguments. No shell: quotes group words."
    after: str | list[str]
    "The program that lets it go, with its arguments."

    def __post_init__(self) -> None:
        """Refuse what names no program, and a secret in place of a reference. Raises ValueError."""
        super().__post_init__()
        program.words(self.before, "before")
        program.words(self.after, "after")


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need the programs and the secrets."""
    programs = [
        program.words(written, "")[0]
        for step in steps
        for written in (step.options.before, step.options.after)
    ]
    secrets = [reference for step in steps for reference in step.options.secrets.values()]
    return program.complaints(programs, secrets, host)


@hookimpl
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> AbstractContextManager[None]:
    """Run one command, and the other one when the snapshot is made."""
    options, after, told = step.options, program.words(step.options.after, "after"), program.told(step)
    variables = _written(told)
    thaw = Thaw(
        what=f"guest {step.guest} made quiet by «{program.shown(options.before)}»",
        argv=after,
        by_hand=["env", *variables, *after],
        environment=told | program.environment(options.secrets, host),
        facts={"variables": variables, "secrets": _written(options.secrets)},
    )
    return frozen(program.words(options.before, "before"), thaw, options, hold, host)


def _written(named: Mapping[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in named.items()]


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Let go of what a dead run held."""
    environment = _named(facts, "variables") | program.environment(_named(facts, "secrets"), host)
    msgspec.structs.replace(Thaw.of(facts), environment=environment).run(host)


def _named(facts: Facts, key: str) -> dict[str, str]:
    written = facts[key]
    assert isinstance(written, list)
    return {name: value for name, _, value in (one.partition("=") for one in written)}
