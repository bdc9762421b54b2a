"""``mysql``: a MySQL server, or MariaDB from 10.5 on, by its own client, ``mariadb`` or ``mysql``.

Nothing is committed while the snapshot is made, and reading goes on. ``mode: backup-stage`` goes through the stages of
MariaDB's BACKUP STAGE up to BLOCK_COMMIT. ``mode: read-lock`` takes FLUSH TABLES WITH READ LOCK, which MySQL has, too.
All that was committed to InnoDB is then on the disk, whatever ``innodb_flush_log_at_trx_commit`` is (if it is 0 or 2,
MariaDB may need a second for that), and tables of other engines are in good order in their files. The place in the
binary log, with its GTIDs, is kept (``GUEST@binlog_position``), for who makes a replica or rolls it forward.

A read lock waits for what runs already, and whatever writes waits for the lock: one long query could stop everybody. So
``long-query`` is looked for first, and ``lock-wait`` ends the waiting. If holdstill dies, its session ends, and the
server lets go by itself; if it hangs, the server ends the session after ``at-most``.
"""

from __future__ import annotations

import math
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from holdstill.plugin import (
    Companion,
    Complaint,
    Duration,
    Hold,
    Host,
    SnapshotError,
    Step,
    hookimpl,
    missing_tools,
)
from holdstill_plugins import server

FIRST_MARIADB = (10, 5)
FIRST_WITHOUT_MASTER_STATUS = (8, 4)
"Of MySQL's versions; MariaDB's know both words."
ANSWER_WITHIN = 45.0
"Seconds that the server has for all its answers while it is quiet; leaving a step has a minute in all."
BETWEEN_QUERIES, BETWEEN_WRITES = 0.5, 0.02
"Seconds between two looks at others' queries, and at how much of InnoDB's log is on the disk."
PASSWORD = re.compile("-[^-DehOPSu#]*p|--((loose|enable|maximum)[-_])?pas")
"""An option with a password: by any beginning of its name, or bundled behind short options, of which those listed take
the rest of the word for themselves."""
NOT_IN_BACKUP = "ERROR 4146"
"What BACKUP STAGE END says to one who may use it, when there is nothing to end."
LET_GO = "let go"
ON_THE_DISK_AT_COMMIT = {"1", "3"}
"What ``innodb_flush_log_at_trx_commit`` is if it has InnoDB's log written to the disk at each commit."
STATUS = "SELECT variable_value FROM information_schema.global_status WHERE variable_name = '{}';"
LONG_QUERY = """SELECT CONCAT('the query ', id, ' of ', user, ' has been running for ', time, ' s')
 FROM information_schema.processlist WHERE command IN ('Query', 'Execute') AND id <> CONNECTION_ID()
 AND time >= {} ORDER BY time DESC LIMIT 1"""
SETTINGS = (
    "--batch",
    "--skip-column-names",
    "--unbuffered",
    "--skip-reconnect",  # a new session has no lock
    "--skip-force",  # nor has one that went on after an error
    "--connect-timeout=10",
)


class Options(server.ServerOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which server, and how."""

    connection: str = ""
    """How it is reached, in options of its client's (``--host=… --port=… --user=… --ssl``, or ``--socket=…``), without
    the password. If empty, this host's server, as root."""
    mode: Literal["best", "backup-stage", "read-lock"] = "best"
    "What holds it; the best that it has, if not told otherwise."
    lock_wait: Duration = Duration(10)
    "How long a lock is waited for, in whole seconds: others who write may have to wait behind it."
    long_query: Duration = Duration(10)
    """With a read lock: queries that have been running for so long are waited for, as part of ``within``, before it is
    asked for."""

    def __post_init__(self) -> None:
        """Refuse passwords. Raises ValueError, without telling one."""
        super().__post_init__()
        if any(PASSWORD.match(word) for word in shlex.split(self.connection)):
            raise server.refuse_password()


class Way(NamedTuple):
    """How a server is held."""

    hold: tuple[str, ...]
    let_go: str


STAGES = Way(
    tuple(f"BACKUP STAGE {stage}" for stage in ("START", "FLUSH", "BLOCK_DDL", "BLOCK_COMMIT")),
    "BACKUP STAGE END",
)
READ_LOCK = Way(("FLUSH TABLES WITH READ LOCK",), "UNLOCK TABLES")


class Server:
    """The server of a step, as it is asked."""

    def __init__(self, step: Step[Options], host: Host) -> None:
        self.argv = (client(host), *shlex.split(step.options.connection), *SETTINGS)
        self.environment = {"HOME": "/nonexistent", **step.options.environment("MYSQL_PWD", host)}
        self._host = host
        self._mode = step.options.mode
        version = self.ask("SELECT VERSION()")
        self.is_mariadb = "mariadb" in version.lower()
        self.version = tuple(int(number) for number in re.findall(r"\d+", version)[:2])

    def ask(self, query: str, *, ok: tuple[int, ...] = (0,)) -> str:
        """Give what it answers: the lines of standard output, and of standard error where that is ok."""
        answer = self._host.ask(*self.argv, "--execute", query, ok=ok, env=self.environment)
        return (answer.out + answer.err).strip()

    @property
    def way(self) -> Way:
        """How it is held."""
        return STAGES if self.is_mariadb and self._mode != "read-lock" else READ_LOCK

    @property
    def position(self) -> tuple[str, ...]:
        """What asks for its place in the binary log."""
        if self.is_mariadb:
            return ("SHOW MASTER STATUS", "SELECT 'gtid', @@global.gtid_binlog_pos")
        is_new = self.version >= FIRST_WITHOUT_MASTER_STATUS
        return ("SHOW BINARY LOG STATUS" if is_new else "SHOW MASTER STATUS",)


def client(host: Host) -> str:
    """Give the client's name: MariaDB's if it is there, as it is newer than what it is compatible with."""
    return "mariadb" if host.installed("mariadb") or not host.installed("mysql") else "mysql"


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need the client, the password, and a server that lets us."""
    if found := missing_tools(host, client(host)):
        return found
    return [complaint for step in steps for complaint in _complaints(step, host)]


def _complaints(step: Step[Options], host: Host) -> list[Complaint]:
    def look() -> str:
        return _refuses(Server(step, host), step.options.mode)

    where = step.options.connection or "on this host"
    return server.complaints(step.options, host, f"The server of guest {step.guest} ({where})", look)


def _refuses(asked: Server, mode: str) -> str:
    """Ask for all that is needed; what is not granted raises the server's own sentence."""
    if asked.is_mariadb and asked.version < FIRST_MARIADB:
        return "is older than MariaDB 10.5; quiesce it with 'coprocess'."
    if mode == "backup-stage" and not asked.is_mariadb:
        return "has no BACKUP STAGE, which is MariaDB's: write «mode: read-lock»."
    for query in asked.position:
        asked.ask(query)
    if asked.way is READ_LOCK:
        asked.ask("SELECT 1 FROM information_schema.innodb_trx LIMIT 1")  # PROCESS, to see others' queries
    if asked.is_mariadb and NOT_IN_BACKUP not in (said := asked.ask("BACKUP STAGE END", ok=(0, 1))):
        return f"does not let us; «GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO …»: {said}"
    return ""


@hookimpl
@contextmanager
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> Iterator[None]:
    """Hold commits in a session of ours, beside us."""
    options, ends = step.options, time.monotonic() + step.options.within
    asked = Server(step, host)
    if asked.way is READ_LOCK:
        _wait_for_long_queries(asked, options, ends, host)
    left = max(1.0, ends - time.monotonic())
    with host.companion(
        *asked.argv,
        limit=left,
        at_most=options.at_most,
        told=_statements(asked, options, left),
        env=asked.environment,
    ) as session:
        if asked.is_mariadb and session.first not in ON_THE_DISK_AT_COMMIT:
            _wait_for_the_log(session, ends, host)
        yield
        position = _let_go(session, asked)
    if position:
        hold.keep("binlog_position", position)


def _statements(asked: Server, options: Options, left: float) -> list[str]:
    """Give what holds it; the server itself limits how long, in whole seconds, should we not be able to."""
    wait, longest = (
        math.ceil(max(1.0, seconds)) for seconds in (min(options.lock_wait, left), options.at_most)
    )
    limits = f"SET SESSION lock_wait_timeout = {wait}, SESSION wait_timeout = {longest}"
    flush = () if asked.is_mariadb else ("FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS",)
    quiet = "SELECT @@global.innodb_flush_log_at_trx_commit"
    return [f"{word};" for word in (limits, *asked.way.hold, *flush, quiet)]


def _wait_for_long_queries(asked: Server, options: Options, ends: float, host: Host) -> None:
    """Wait until nobody has been running a query for too long. Raises SnapshotError if somebody still has."""
    while running := asked.ask(LONG_QUERY.format(math.ceil(options.long_query))):
        if time.monotonic() > ends:
            raise SnapshotError(
                f"A read lock would have everybody wait for one: {running}. Wait for its end, or end it with KILL."
            )
        host.pause(BETWEEN_QUERIES)


def _wait_for_the_log(session: Companion, ends: float, host: Host) -> None:
    """Wait until all that was committed is on the disk: MariaDB's FLUSH ENGINE LOGS leaves that to InnoDB itself.

    Raises SnapshotError if InnoDB does not come to it.
    """
    by = ends + ANSWER_WITHIN
    needed = _number(session, "INNODB_LSN_CURRENT", by)
    while _number(session, "INNODB_LSN_FLUSHED", by) < needed:
        if time.monotonic() > ends:
            raise SnapshotError(
                "InnoDB did not write its log to the disk in time. Look at «innodb_flush_log_at_timeout»."
            )
        host.pause(BETWEEN_WRITES)


def _number(session: Companion, name: str, by: float) -> int:
    session.tell(STATUS.format(name))
    return int(_hear(session, by))


def _hear(session: Companion, by: float) -> str:
    """Wait for a line, in whole seconds: a sentence says how many."""
    return session.hear(max(1, round(by - time.monotonic())))


def _let_go(session: Companion, asked: Server) -> str:
    """Let go; give the place in the binary log at which it was held, if it has one."""
    for word in (*asked.position, asked.way.let_go, f"SELECT '{LET_GO}'"):
        session.tell(f"{word};")
    by = time.monotonic() + ANSWER_WITHIN
    lines = iter(lambda: _hear(session, by), LET_GO)
    return "".join(
        f"{name}: {value}\n" for line in lines for name, value in _named(line.split("\t")) if value
    )


def _named(row: list[str]) -> list[tuple[str, str]]:
    if row[0] == "gtid":
        return [("gtid", row[1])]
    file, position, _, _, *gtid = row
    return [("file", file), ("position", position), ("gtid", "".join(gtid).replace("\\n", ""))]
