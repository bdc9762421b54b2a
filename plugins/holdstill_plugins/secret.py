"""Texts that must stay secret: a configuration, and so a journal, has only the reference that says where one is.

A reference is a file's absolute path, ``credential:NAME`` (systemd's LoadCredential=, systemd.exec(5)), ``env:NAME``,
or ``command:PROGRAM ARGUMENT…``, which prints it.
"""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from holdstill.plugin import (
    CommandFailedError,
    Complaint,
    HoldstillError,
    Host,
    NotFoundError,
    PermissionRefusedError,
    UnavailableError,
    missing_tools,
)

WHERE = "a file's absolute path, 'credential:NAME', 'env:NAME' or 'command:PROGRAM ARGUMENT…'"
PATIENCE = 10.0
"Seconds that a command has to print the secret."


class Reference(NamedTuple):
    """Where a secret is."""

    kind: str
    "``file``, ``credential``, ``env`` or ``command``."
    name: str

    @classmethod
    def parse(cls, written: str) -> Reference:
        """Read a reference. Raises ValueError, without what was written: it may be the secret itself."""
        kind, colon, name = written.partition(":")
        if written.startswith("/"):
            return cls("file", written)
        if colon and kind in {"credential", "env"} and name and "/" not in name:
            return cls(kind, name)
        if kind == "command" and _words(name):
            return cls(kind, name)
        raise ValueError(f"a secret is not written here, but where it is: {WHERE}")


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError:
        return []


def word(written: str, host: Host) -> str:
    """Give the first line of a secret text, whatever is in it: a password may begin with ``#``, or end with a space.

    Raises a HoldstillError that names the reference, and nothing of the secret.
    """
    first = _text(Reference.parse(written), host).partition("\n")[0]
    if not first:
        raise NotFoundError(f"There is nothing in the first line of {written}: a secret is that line.")
    return first


def lines(written: str, host: Host) -> tuple[str, ...]:
    """Give the lines of a secret text that is a list, without empty ones and comments (``#``).

    Raises a HoldstillError that names the reference, and nothing of the secret.
    """
    text = _text(Reference.parse(written), host)
    found = tuple(line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] != "#")
    if not found:
        raise NotFoundError(f"There is nothing in {written}: it is empty, or has only comments.")
    return found


def can_be_looked_at(written: str) -> bool:
    """Whether a secret is where it is at any time: credentials and variables are there only for the job itself."""
    return Reference.parse(written).kind == "file"


def complaints(written: str, host: Host, read: Callable[[str, Host], object] = word) -> list[Complaint]:
    """Complain of a file that is not there, not safe, or not to be ``read``, and of a command that is missing."""
    reference = Reference.parse(written)
    if reference.kind == "command":
        return missing_tools(host, _words(reference.name)[0])
    if can_be_looked_at(written):
        try:
            read(written, host)
        except HoldstillError as error:
            return [Complaint(str(error), error.code)]
    return []


def _text(reference: Reference, host: Host) -> str:
    kind, name = reference
    if kind == "command":
        return _printed_by(name, host)
    if kind == "file":
        return _content_of(Path(name))
    if kind == "credential":
        name, folder = "CREDENTIALS_DIRECTORY", os.environ.get("CREDENTIALS_DIRECTORY")
        if folder:
            return _content_of(Path(folder) / reference.name)
    if name not in os.environ:
        raise NotFoundError(f"{kind}:{reference.name} is not there: the variable {name} is not set.")
    return os.environ[name]


def _content_of(path: Path) -> str:
    """Read a file that root alone can read: what others may read is no secret, what they may write is not ours."""
    try:
        with path.open(encoding="utf-8") as file:
            found = os.fstat(file.fileno())
            if found.st_uid not in {0, os.geteuid()} or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                safe = f"«chown root {path}; chmod 0600 {path}»"
                raise PermissionRefusedError(f"{path} holds a secret, but not for root alone; {safe}.")
            return file.read()
    except OSError as error:
        raise NotFoundError(
            f"{path}, which should hold a secret, cannot be read: {error.strerror}."
        ) from None
    except UnicodeDecodeError:
        raise NotFoundError(f"{path}, which should hold a secret, is no text.") from None


def _printed_by(command: str, host: Host) -> str:
    try:
        return host.ask(*_words(command), deadline=PATIENCE).out
    except CommandFailedError as error:  # its sentence would end with what was printed
        raise UnavailableError(f"«{command}», which should print a secret, {error.why}.") from None
