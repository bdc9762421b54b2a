"""``openldap``: no writes to a database of OpenLDAP's while a guest's snapshot is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdstill.plugin import (
    Complaint,
    Facts,
    Hold,
    HoldstillError,
    Host,
    NotFoundError,
    QuiesceOptions,
    Step,
    Thaw,
    frozen,
    hookimpl,
    missing_tools,
)

API_VERSION = 1
"The version of holdstill's plugin API that this was written for."
AS_ROOT = ("-Q", "-Y", "EXTERNAL", "-H")
LDIF = r"dn: %s\nchangetype: modify\nreplace: olcReadOnly\nolcReadOnly: %s\n"
SET = ("sh", "-c", f'printf \'{LDIF}\' "$2" "$3" | ldapmodify {" ".join(AS_ROOT)} "$1"', "set")
"ldapmodify wants LDIF on its input, or in a file."


class Options(QuiesceOptions, frozen=True, kw_only=True):
    """Which database it is."""

    suffix: str
    "Its suffix, such as ``dc=example,dc=org``, as its configuration writes it."
    server: str = "ldapi:///"
    "How a slapd of this host is reached."

    def __post_init__(self) -> None:
        """Refuse what a search would take for more than a name. Raises ValueError."""
        if set(self.suffix) & set("*()\\\0\n"):
            raise ValueError(f"{self.suffix!r} is no plain suffix")


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need the tools, and a server that knows the database and lets us see its configuration."""
    if found := missing_tools(host, "ldapmodify", "ldapsearch"):
        return found
    return [complaint for step in steps for complaint in _complaints(step.options, host)]


def _complaints(options: Options, host: Host) -> list[Complaint]:
    try:
        _asked(options, host)
    except HoldstillError as error:
        return [Complaint(str(error))]
    return []


@hookimpl
@contextmanager
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> Iterator[None]:
    """Have the database read-only. To make it writable twice is harmless."""
    options = step.options
    name, read_only = _asked(options, host)
    if read_only:
        yield  # by somebody else, for whom it stays so
        return
    writable = Thaw(f"{options.suffix} at {options.server}, read-only", (*SET, options.server, name, "FALSE"))
    with frozen((*SET, options.server, name, "TRUE"), writable, options, hold, host):
        yield


def _asked(options: Options, host: Host) -> tuple[str, bool]:
    """Give the name of the database's entry in the configuration, and whether it is read-only. Raises NotFoundError."""
    wanted = ("-LLL", "-o", "ldif-wrap=no", "-b", "cn=config", f"(olcSuffix={options.suffix})", "olcReadOnly")
    answer = host.ask("ldapsearch", *AS_ROOT, options.server, *wanted, deadline=20)
    told = dict(line.split(": ", 1) for line in answer.out.splitlines() if ": " in line)
    if "dn" not in told:
        raise NotFoundError(
            f"The slapd at {options.server} has no database with the suffix {options.suffix!r}."
        )
    return told["dn"], told.get("olcReadOnly") == "TRUE"


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Make writable what a dead run made read-only, or was about to. That slapd does not run is a failure."""
    Thaw.of(facts).run(host)
