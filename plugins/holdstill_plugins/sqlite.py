"""``sqlite``: SQLite databases in files of this host, whatever program they belong to.

Nothing is written to them while the snapshot is made, and reading goes on. So the snapshot has no half of a change in
it that would have to be rolled back, and it has all that was committed, whatever ``synchronous`` is. For each file a
process beside us, which works as the user who owns it, has a write-ahead log checkpointed, as far as nobody has to be
waited for, and begins a transaction (BEGIN IMMEDIATE). If holdstill dies, the process ends, and with it the lock.
Programs that write meanwhile wait for as long as their busy timeout says: make that longer than ``at-most``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from holdstill.plugin import (
    CommandFailedError,
    Complaint,
    Hold,
    Host,
    QuiesceOptions,
    Step,
    hookimpl,
    missing_tools,
)
from holdstill_plugins import sqlite_lock

PROGRAM = (sys.executable, "-I", "-S", str(Path(sqlite_lock.__file__)))
START = 30.0
"""Seconds that the programs of a step have to start, on a busy host, besides those that they wait for others: these end
with ``within``, whatever starting took."""


class Options(QuiesceOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which databases."""

    paths: list[str]
    "The databases' files: absolute paths on this host. They are held in this order."

    def __post_init__(self) -> None:
        """Refuse what names no file. Raises ValueError."""
        if not self.paths or not all(path.startswith("/") for path in self.paths):
            raise ValueError("'paths' are absolute paths of files on this host, one at least")


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need files that are databases."""
    if found := missing_tools(host, "sync"):
        return found
    paths = dict.fromkeys(path for step in steps for path in step.options.paths)
    return [complaint for path in paths for complaint in _complaints(path, host)]


def _complaints(path: str, host: Host) -> list[Complaint]:
    try:
        host.ask(*PROGRAM, path, "0")
    except CommandFailedError as error:
        return [Complaint(f"The database {path} cannot be held: {error.answer.err.strip() or error}.")]
    return []


@hookimpl
@contextmanager
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> Iterator[None]:
    """Let nobody write meanwhile, and have on the disk what was written."""
    del hold
    options, ends = step.options, time.monotonic() + step.options.within
    with ExitStack() as held:
        for path in options.paths:
            limit = max(1, round(ends + START - time.monotonic()))
            held.enter_context(
                host.companion(*PROGRAM, path, f"{ends:.3f}", limit=limit, at_most=options.at_most)
            )
        host.run("sync", "--file-system", *options.paths, deadline=options.at_most)
        yield
