"""``command``: any program as the backup, or as its verification."""

from __future__ import annotations

import shlex
import sys
from contextlib import suppress

import msgspec

from holdstill.plugin import (
    BackupError,
    CommandFailedError,
    Complaint,
    Duration,
    Exposed,
    Facts,
    Hold,
    Host,
    Progress,
    Role,
    Step,
    VerifyError,
    hookimpl,
    missing_tools,
)


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Which program is run, and how."""

    run: str | list[str]
    "The program with its arguments. No shell: quotes group words, and nothing else is special."
    pass_trees: bool = True
    "Add the trees' paths to the arguments; those that verify get none, as nothing is held any more."
    environment: dict[str, str] = {}
    "Variables for the program, besides HOLDSTILL_JOB, HOLDSTILL_RUN, HOLDSTILL_TREES and HOLDSTILL_DEVICES."
    success: list[int] = msgspec.field(default_factory=lambda: [0])
    "Exit codes that mean success."
    deadline: Duration = Duration(24 * 3600)
    "How long it may run before it is ended."

    def __post_init__(self) -> None:
        """Refuse what names no program, or has a quote too few. Raises ValueError."""
        if not self.argv or not self.argv[0]:
            raise ValueError("'run' names no program")

    @property
    def argv(self) -> list[str]:
        """The words of the command."""
        return shlex.split(self.run) if isinstance(self.run, str) else list(self.run)


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need the programs."""
    return missing_tools(host, *(program for step in steps for program in step.options.argv[:1]))


@hookimpl
def holdstill_make_backup(
    step: Step[Options], guests: tuple[Exposed, ...], hold: Hold, host: Host, progress: Progress
) -> Facts:
    """Run the program on the trees."""
    del hold, progress
    trees = [path for guest in guests for path in guest.trees]
    devices = [path for guest in guests for path in guest.devices]
    if not trees and not devices:
        raise BackupError("There is nothing to back up: no guest has a tree or a device.")
    try:
        _run(step, host, trees if step.options.pass_trees else [], _environment(step, trees, devices))
    except CommandFailedError as error:
        raise BackupError(f"The backup command failed: {error}") from error
    return {"trees": trees}


@hookimpl
def holdstill_verify_backup(step: Step[Options], backup: Facts, host: Host, progress: Progress) -> None:
    """Run the program; its exit code is the verdict. A command that made the backup is not run again to check it."""
    del backup, progress
    if step.role is Role.BACKUP:
        return
    try:
        _run(step, host, [], _environment(step, [], []))
    except CommandFailedError as error:
        raise VerifyError(f"The verification failed: {error}") from error


def _run(step: Step[Options], host: Host, arguments: list[str], environment: dict[str, str]) -> None:
    options = step.options
    host.run(
        *options.argv,
        *arguments,
        env=environment,
        ok=options.success,
        deadline=options.deadline,
        watch=_show if sys.stderr and sys.stderr.isatty() else None,
    )


def _show(text: str) -> None:
    """Show it to a person; that their terminal has gone ends no backup."""
    with suppress(OSError):
        sys.stderr.write(text)


def _environment(step: Step[Options], trees: list[str], devices: list[str]) -> dict[str, str]:
    return {
        "HOLDSTILL_JOB": step.run.job,
        "HOLDSTILL_RUN": step.run.id,
        "HOLDSTILL_TREES": ":".join(trees),
        "HOLDSTILL_DEVICES": ":".join(devices),
        **step.options.environment,
    }
