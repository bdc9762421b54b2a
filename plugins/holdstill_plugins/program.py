"""Programs of the site's that quiesce steps name: their words, and what they are told in their environment."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from holdstill.plugin import Complaint, Host, QuiesceOptions, Step, missing_tools
from holdstill_plugins import secret

Written = str | list[str]


def words(written: Written, key: str) -> list[str]:
    """Give the words of a command. Raises ValueError if it names no program, or has a quote too few."""
    found = shlex.split(written) if isinstance(written, str) else list(written)
    if not found or not found[0]:
        raise ValueError(f"'{key}' names no program")
    return found


def shown(written: Written) -> str:
    """Give a command as a shell would read it."""
    return written if isinstance(written, str) else shlex.join(written)


class ProgramOptions(QuiesceOptions, frozen=True, kw_only=True, rename="kebab"):
    """What the options of plugins have that quiesce by programs of the site's."""

    secrets: dict[str, str] = msgspec.field(default_factory=dict)
    """Variables for what is run whose values are secret, each with where it is: the path of a file that only root can
    read, or ``credential:NAME``, ``env:NAME``, ``command:ARGV``."""

    def __post_init__(self) -> None:
        """Refuse a secret in place of where it is. Raises ValueError, without telling it."""
        for reference in self.secrets.values():
            secret.Reference.parse(reference)


def complaints(programs: Iterable[str], secrets: Iterable[str], host: Host) -> list[Complaint]:
    """Complain of programs and secrets that are missing."""
    found = missing_tools(host, *programs)
    return found + [complaint for one in dict.fromkeys(secrets) for complaint in secret.complaints(one, host)]


def environment(secrets: Mapping[str, str], host: Host) -> dict[str, str]:
    """Read secrets, by the names of their variables. Raises a HoldstillError that tells none of them."""
    return {name: secret.word(reference, host) for name, reference in secrets.items()}


def told(step: Step[Any]) -> dict[str, str]:
    """Give the variables that say for which run a program is called."""
    run = step.run
    return {"HOLDSTILL_JOB": run.job, "HOLDSTILL_RUN": run.id, "HOLDSTILL_GUEST": step.guest}
