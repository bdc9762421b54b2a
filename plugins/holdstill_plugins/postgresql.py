"""``postgresql``: a PostgreSQL server, version 15 or later, by its own ``psql``.

Neither mode stops anybody from writing: a snapshot of all of a server's files *at one moment* is as good as a server
after a power cut, and PostgreSQL recovers from that without losing what was committed. ``mode: checkpoint`` has all
that was written until then put into its files, so that it recovers sooner. ``mode: backup`` is for a server whose files
are *not* snapshotted at one moment, and that archives its WAL: the snapshot is made between pg_backup_start and
pg_backup_stop, in one session. The label and the tablespace map are kept (``GUEST@backup_label``,
``GUEST@tablespace_map``); put them into the restored data folder. If holdstill dies the session ends, and with it the
backup mode; if it hangs, the server ends the session after ``at-most``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from holdstill.plugin import (
    Companion,
    Complaint,
    Hold,
    Host,
    SnapshotError,
    Step,
    hookimpl,
    missing_tools,
)
from holdstill_plugins import server
from holdstill_plugins.as_user import as_user

OLDEST = 150000
STOP_WITHIN = 45.0
"Seconds that the server has to end a backup; leaving a step has a minute in all."
LONGEST = 2**31 - 1
"Milliseconds of the server's longest time limit."
SERVER = "SELECT current_setting('server_version_num')"
MAY = {
    "checkpoint": "SELECT pg_has_role(current_user, 'pg_checkpoint', 'USAGE')",
    "backup": "SELECT has_function_privilege('pg_backup_start(text,boolean)', 'EXECUTE')"
    " AND has_function_privilege('pg_backup_stop(boolean)', 'EXECUTE')",
}
GRANT = {
    "checkpoint": "GRANT pg_checkpoint TO …",
    "backup": "GRANT EXECUTE ON FUNCTION pg_backup_start, pg_backup_stop TO …",
}
STOP = """SELECT encode(convert_to(labelfile, 'UTF8'), 'hex') || ' '
 || encode(convert_to(coalesce(spcmapfile, ''), 'UTF8'), 'hex') FROM pg_backup_stop(wait_for_archive => false);"""


class Options(server.ServerOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which server, and how."""

    connection: str = "dbname=postgres"
    "How it is reached, as libpq reads it (``host=… port=… user=… dbname=…``, or a URI), without the password."
    system_user: str = "postgres"
    "The user of this host that ``psql`` runs as, whom a local server trusts by name; root if empty."
    mode: Literal["checkpoint", "backup"] = "checkpoint"
    "What is done around the snapshot."

    def __post_init__(self) -> None:
        """Refuse passwords. Raises ValueError, without telling one."""
        super().__post_init__()
        if re.search(r"password\s*=|://[^@]*:[^@]*@", self.connection):
            raise server.refuse_password()


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need psql, the password, and a server that is new enough and lets us."""
    if found := missing_tools(
        host, "psql", *(["setpriv"] if any(step.options.system_user for step in steps) else [])
    ):
        return found
    return [complaint for step in steps for complaint in _complaints(step, host)]


def _complaints(step: Step[Options], host: Host) -> list[Complaint]:
    def look() -> str:
        return _refuses(step, host)

    of = f"The PostgreSQL of guest {step.guest} ({step.options.connection})"
    return server.complaints(step.options, host, of, look)


def _refuses(step: Step[Options], host: Host) -> str:
    if int(_asked(step, SERVER, host)) < OLDEST:
        return "is older than version 15; quiesce it with 'coprocess'."
    if _asked(step, MAY[step.options.mode], host) != "t":
        return f"does not let us: «{GRANT[step.options.mode]}»."
    return ""


def _asked(step: Step[Options], query: str, host: Host) -> str:
    return host.ask(*_psql(step, "--command", query), env=_environment(step, host)).out.strip()


def _psql(step: Step[Options], *more: str) -> tuple[str, ...]:
    settings = (
        "--no-psqlrc",
        "--quiet",
        "--no-align",
        "--tuples-only",
        "--no-password",
        "--set=ON_ERROR_STOP=1",
    )
    return as_user(step.options.system_user, "psql", *settings, f"--dbname={step.options.connection}", *more)


def _environment(step: Step[Options], host: Host) -> dict[str, str]:
    """Give psql its password, and no home: root's, which it may not look into, would be an error."""
    password = step.options.environment("PGPASSWORD", host)
    return {"HOME": "/nonexistent", "PGAPPNAME": "holdstill", "PGCONNECT_TIMEOUT": "10", **password}


@hookimpl
@contextmanager
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> Iterator[None]:
    """Have a checkpoint made, or keep the server in backup mode meanwhile."""
    options, environment = step.options, _environment(step, host)
    if options.mode == "checkpoint":
        host.run(*_psql(step, "--command", "CHECKPOINT"), deadline=options.within, env=environment)
        yield
        return
    longest = min(int(options.at_most * 1000), LONGEST)
    start = (
        f"SET idle_session_timeout = {longest};",
        f"SELECT pg_backup_start('holdstill {step.run.id}', fast => true);",
    )
    with host.companion(
        *_psql(step), limit=options.within, at_most=options.at_most, told=start, env=environment
    ) as psql:
        yield
        _keep(_stopped(psql), hold)


def _stopped(psql: Companion) -> list[str]:
    """End the backup mode; give the label and the tablespace map."""
    psql.tell(STOP)
    try:
        label, _, tablespaces = psql.hear(STOP_WITHIN).partition(" ")
        return [bytes.fromhex(label).decode(), bytes.fromhex(tablespaces).decode()]
    except ValueError as error:
        raise SnapshotError(f"PostgreSQL did not tell the label of its backup: {error}.") from None


def _keep(files: list[str], hold: Hold) -> None:
    for name, text in zip(("backup_label", "tablespace_map"), files, strict=True):
        if text:
            hold.keep(name, text)
