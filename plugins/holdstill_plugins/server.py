"""What plugins have in common that quiesce a database's server by its own client program."""

from __future__ import annotations

from collections.abc import Callable

from holdstill.plugin import Complaint, HoldstillError, Host, QuiesceOptions
from holdstill_plugins import program, secret


class ServerOptions(QuiesceOptions, frozen=True, kw_only=True, rename="kebab"):
    """What the options of each of them have."""

    password: str = ""
    """Where the password is, if it takes one: the path of a file that only root can read, or ``credential:NAME``,
    ``env:NAME``, ``command:ARGV``."""

    def __post_init__(self) -> None:
        """Refuse a password in place of where it is. Raises ValueError, without telling it."""
        if self.password:
            secret.Reference.parse(self.password)

    def environment(self, variable: str, host: Host) -> dict[str, str]:
        """Give the client its password, in a variable that it reads."""
        return program.environment({variable: self.password} if self.password else {}, host)


def refuse_password() -> ValueError:
    """Give the error of a password that was written where the server is told; it does not tell it."""
    return ValueError(
        f"the password is not written in 'connection'; 'password' says where it is: {secret.WHERE}"
    )


def complaints(options: ServerOptions, host: Host, of: str, look: Callable[[], str]) -> list[Complaint]:
    """Complain of the password, and of what ``look`` finds when it asks the server: a sentence, or nothing."""
    if options.password and (found := secret.complaints(options.password, host)):
        return found
    if options.password and not secret.can_be_looked_at(options.password):
        return []  # it may be there only when the job is run
    try:
        found_wrong = look()
    except HoldstillError as error:
        return [Complaint(f"{of} cannot be asked: {error}")]
    return [Complaint(f"{of} {found_wrong}")] if found_wrong else []
