"""``mongodb``: a MongoDB server, by its own shell, ``mongosh``.

Its fsyncLock has all that was written put on the disk, and holds who writes until the snapshot is made. The lock
outlasts the session that asked for it. So if holdstill dies, or takes longer than ``at-most``, a process beside it
unlocks the server; and it is promised: if that process was killed as well, the next run or «holdstill recover» does so.
Locks are counted, and are nobody's: a server that is locked already is refused.

This was tried with mongosh 2 and a stand-in for the server that answers as MongoDB's manual says. No real server was
had: try it on one of yours before you rely on it.
"""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager

import msgspec

from holdstill.plugin import Complaint, Facts, Hold, Host, Step, Thaw, frozen, hookimpl, missing_tools
from holdstill_plugins import program, secret, server

PASSWORD = "MONGODB_PASSWORD"  # noqa: S105  the name of the variable
LOCKED = "it is locked already"
LOOK = f"if (admin.adminCommand({{currentOp: 1}}).fsyncLock) throw new Error('{LOCKED}');"
LOCK = f"{LOOK} admin.adminCommand({{fsync: 1, lock: true}});"
UNLOCK = "admin.adminCommand({fsyncUnlock: 1});"
NOT_LOCKED = "called when not locked"
"What the server says if there is nothing to unlock."
REFUSALS = f"{LOCKED}|connect ECONNREFUSED|Authentication failed"
"What mongosh says if nothing was locked. Not all that it says of a connection: one can be lost after that."


class Options(server.ServerOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which server."""

    connection: str = "mongodb://localhost/?directConnection=true"
    "How it is reached: its URI, without user and password."
    user: str = ""
    "Who may lock it, as the database ``admin`` knows them; nobody in particular if empty."

    def __post_init__(self) -> None:
        """Refuse passwords, and one without a user. Raises ValueError, without telling one."""
        super().__post_init__()
        if re.search("://[^?]*@", self.connection):
            raise ValueError(
                "user and password are not written in 'connection': 'user' has the one, and 'password' says where "
                f"the other is: {secret.WHERE}"
            )
        if bool(self.password) != bool(self.user):
            raise ValueError("'user' and 'password' need each other")


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need mongosh, the password, and a server that lets us ask and is not locked."""
    if found := missing_tools(host, "mongosh"):
        return found
    return [complaint for step in steps for complaint in _complaints(step, host)]


def _complaints(step: Step[Options], host: Host) -> list[Complaint]:
    options = step.options

    def look() -> str:
        host.ask(*_mongosh(options, LOOK), env=_environment(options.password, host))
        return ""

    return server.complaints(options, host, f"The MongoDB of guest {step.guest} ({options.connection})", look)


def _mongosh(options: Options, script: str) -> tuple[str, ...]:
    connect = f"const admin = connect({json.dumps(options.connection)}).getSiblingDB('admin');"
    auth = f" admin.auth({json.dumps(options.user)}, process.env.{PASSWORD});" if options.user else ""
    return ("mongosh", "--quiet", "--norc", "--nodb", "--eval", f"{connect}{auth} {script}")


def _by_hand(options: Options) -> list[str]:
    """Give what asks a person for the password."""
    user = ["--username", options.user, "--authenticationDatabase", "admin"] if options.user else []
    return ["mongosh", options.connection, *user, "--eval", "db.fsyncUnlock()"]


def _environment(password: str, host: Host) -> dict[str, str]:
    return program.environment({PASSWORD: password} if password else {}, host)


@hookimpl
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> AbstractContextManager[None]:
    """Keep the server locked while the snapshot is made."""
    options = step.options
    thaw = Thaw(
        what=f"MongoDB of guest {step.guest}, locked",
        argv=_mongosh(options, UNLOCK),
        nothing=NOT_LOCKED,
        refusal=REFUSALS,
        by_hand=_by_hand(options),
        environment=_environment(options.password, host),
        facts={"password": options.password},
    )
    return frozen(_mongosh(options, LOCK), thaw, options, hold, host)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Unlock what a dead run locked."""
    environment = _environment(str(facts["password"]), host)
    msgspec.structs.replace(Thaw.of(facts), environment=environment).run(host)
