"""A program beside a run that keeps others from writing to an SQLite database until its standard input closes.

It works as the owner of the file: what that user may have made of it is none of root's business. It uses nothing but
the standard library, so that it is ready at once.
"""

from __future__ import annotations

import os
import pwd
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path

CHUNK = 4096


def main(path: Path, ends: float) -> int:
    """Hold a database, for which others' changes are waited for until then (CLOCK_MONOTONIC); only look at it if 0."""
    try:
        _become(path.lstat().st_uid)
        seconds = max(0.001, ends - time.monotonic()) if ends else 0
        connection = sqlite3.connect(_uri(path, seconds), uri=True, timeout=seconds, isolation_level=None)
        with closing(connection) as database:
            if seconds:
                _hold(database)
            else:
                database.execute("PRAGMA schema_version")
    except (OSError, sqlite3.Error) as error:
        print(getattr(error, "strerror", error), file=sys.stderr)
        return 1
    return 0


def _become(user: int) -> None:
    """Have no rights but those of a user from now on; a link is its own user's, not that of what it leads to."""
    if os.geteuid() or not user:
        return
    try:
        entry = pwd.getpwuid(user)
        os.initgroups(entry.pw_name, entry.pw_gid)
        os.setgid(entry.pw_gid)
    except KeyError:
        os.setgroups([])
        os.setgid(user)
    os.setuid(user)


def _uri(path: Path, seconds: float) -> str:
    """Name a database that is there, and, where it is only looked at, leave its locks and its log alone."""
    return f"{path.as_uri()}?{'mode=rw' if seconds else 'immutable=1'}"


def _hold(database: sqlite3.Connection) -> None:
    """Put into the file what is in its log and may go there without waiting for readers; then let nobody write."""
    if database.execute("PRAGMA journal_mode").fetchone() == ("wal",):
        database.execute("PRAGMA wal_checkpoint(PASSIVE)")
    database.execute("BEGIN IMMEDIATE")
    print("quiet", flush=True)
    while os.read(0, CHUNK):
        continue
    database.execute("ROLLBACK")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
