"""``redis``: a Redis server, or one that speaks as it does (Valkey), by its own client, ``redis-cli``.

Nobody has to wait. BGSAVE is begun just before the snapshot, and its end awaited, so that the server's file
(``dump.rdb``) on the snapshot has all that was written until then. One that runs already began too early: it is waited
for, and another one is made. It ends in the server, whatever becomes of holdstill.

What the server said is kept (``GUEST@redis``): when it saved, where it is as a replica, and whether it writes an
append-only file (``aof_enabled:1``). If so, a restored server reads *that* one and not the dump, unless it is told
otherwise; it is as after a power cut.
"""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager

from holdstill.plugin import Complaint, Hold, Host, SnapshotError, Step, hookimpl, missing_tools, printable
from holdstill_plugins import server

BETWEEN_LOOKS = 0.1
"Seconds."
BEGUN = "Background saving started"
BUSY = re.compile("already in progress|Another child process")
IN_PROGRESS, STATUS = "rdb_bgsave_in_progress", "rdb_last_bgsave_status"
PASSWORD_IN_URL = re.compile("://.*@")
"Without a colon, too: redis-cli takes what is before the @ for the password then."
KEPT = (
    "redis_version",
    "rdb_last_save_time",
    "aof_enabled",
    "role",
    "master_replid",
    "master_repl_offset",
)


class Options(server.ServerOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which server."""

    connection: str = ""
    """How it is reached, in options of its client's (``-h … -p … --user … --tls``, or ``-s SOCKET``), without the
    password. If empty, this host's server."""

    def __post_init__(self) -> None:
        """Refuse passwords. Raises ValueError, without telling one."""
        super().__post_init__()
        words = shlex.split(self.connection)
        if {"-a", "--pass"} & {*words} or any(PASSWORD_IN_URL.search(word) for word in words):
            raise server.refuse_password()


class Server:
    """The server of a step, as it is asked."""

    def __init__(self, step: Step[Options], host: Host) -> None:
        self._argv = ("redis-cli", *shlex.split(step.options.connection))
        self._environment = step.options.environment("REDISCLI_AUTH", host)
        self._host = host

    def about_itself(self) -> dict[str, str]:
        """Give what it tells of itself. Raises SnapshotError if it does not."""
        answer = self._host.ask(*self._argv, "INFO", env=self._environment)
        found = dict(re.findall(r"^(\w+):([^\r\n]*)", answer.out, re.MULTILINE))
        if IN_PROGRESS not in found:
            raise SnapshotError(
                f"Redis does not tell how it saves: {printable(answer.err + answer.out)[:500]}"
            )
        return found

    def begins_to_save(self) -> bool:
        """Have it begin; it does not yet while it is at it, or rewrites its append-only file.

        Raises SnapshotError if it does not let us.
        """
        answer = self._host.run(*self._argv, "BGSAVE", env=self._environment, deadline=60)
        if BEGUN not in answer.out and not BUSY.search(answer.out):
            raise SnapshotError(f"Redis does not save: {printable(answer.err + answer.out)[:500]}")
        return BEGUN in answer.out


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need the client, the password, and a server that tells of itself."""
    if found := missing_tools(host, "redis-cli"):
        return found
    return [complaint for step in steps for complaint in _complaints(step, host)]


def _complaints(step: Step[Options], host: Host) -> list[Complaint]:
    def look() -> str:
        Server(step, host).about_itself()
        return ""

    where = step.options.connection or "on this host"
    return server.complaints(step.options, host, f"The Redis of guest {step.guest} ({where})", look)


@hookimpl
@contextmanager
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> Iterator[None]:
    """Have all saved that was written until now."""
    asked, ends = Server(step, host), time.monotonic() + step.options.within
    while not asked.begins_to_save():
        _pause(ends, host)
    while (found := asked.about_itself())[IN_PROGRESS] != "0":
        _pause(ends, host)
    if found[STATUS] != "ok":
        raise SnapshotError("Redis could not save (BGSAVE). Look into its log: is its disk full?")
    yield
    hold.keep("redis", "".join(f"{name}:{found[name]}\n" for name in KEPT if name in found))


def _pause(ends: float, host: Host) -> None:
    """Wait a little. Raises SnapshotError if the time is over."""
    if time.monotonic() > ends:
        raise SnapshotError(
            "Redis did not save in time (BGSAVE); it goes on with it. Give it more: 'within'."
        )
    host.pause(BETWEEN_LOOKS)
