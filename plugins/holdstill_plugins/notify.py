"""``notify``: tell people how a run ended, by mail, chat or webhook, with apprise (https://appriseit.com).

The end of every ``run``, ``post`` and ``recover`` is told, and that a job could not even begin. That the same is
still held is told again only after a while. That somebody could not be told is logged, and changes nothing.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import suppress
from importlib.util import find_spec

import msgspec
import structlog

from holdstill.plugin import (
    Complaint,
    Duration,
    Host,
    Outcome,
    Run,
    Step,
    StorageError,
    hookimpl,
)
from holdstill_plugins import receivers, secret
from holdstill_plugins.report import End, ends_of, text, title

log = structlog.get_logger()

NAME = "notify"


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Whom to tell, and of what."""

    urls: str
    """Where the URLs of those to tell are, as apprise has them, one a line; they hold passwords, so they are not
    written here. The path of a file that only root can read, or ``credential:NAME``, ``env:NAME``, ``command:ARGV``."""
    when: list[End] = msgspec.field(default_factory=lambda: ["failed", "still-held", "recovered"])
    "Which ends are told, of these and ``ok``. ``recovered``: somebody else had to end a run that was killed, or left."
    again_after: Duration = Duration(24 * 3600)
    "After how long it is told again that a run still holds the same."
    deadline: Duration = Duration(30)
    "How long telling may take, all together."

    def __post_init__(self) -> None:
        """Refuse a URL in place of a reference. Raises ValueError."""
        secret.Reference.parse(self.urls)


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need apprise, and URLs that it understands: a failed run is a bad time to find out that they are wrong."""
    if find_spec("apprise") is None:
        return [Complaint(f"«notify» needs apprise: «{sys.executable} -m pip install apprise».")]
    found: list[Complaint] = []
    for urls in dict.fromkeys(step.options.urls for step in steps):
        found += secret.complaints(urls, host, secret.lines) or _complaints_about(urls, host)
    return found


def _complaints_about(urls: str, host: Host) -> list[Complaint]:
    if not secret.can_be_looked_at(urls):
        return []
    return [
        Complaint(f"apprise does not understand URL {name} in {urls}; see https://appriseit.com/services/.")
        for name in receivers.not_understood(secret.lines(urls, host))
    ]


@hookimpl
def holdstill_finished(run: Run, outcome: Outcome) -> None:
    """Tell of the end."""
    step: Step[Options] | None = run.around(NAME)
    if step is None:
        return
    held = "\n".join(one.what for one in outcome.still_held)
    if _told(run, held, within=step.options.again_after):
        log.info("told already", still_held=held)
        return
    wished = not ends_of(outcome).isdisjoint(step.options.when)
    if (wished and _tell(run, outcome, step.options)) or not held:
        _remember(run, held)


def _tell(run: Run, outcome: Outcome, options: Options) -> bool:
    """Tell all; whether anybody was reached."""
    host, urls = os.uname().nodename, secret.lines(options.urls, run.host)
    return receivers.tell(urls, title(outcome, host), text(outcome, host), within=options.deadline)


def _told(run: Run, held: str, *, within: float) -> bool:
    """Whether it was told not long ago that this run holds just this: what tries every few minutes must not say so."""
    with suppress(OSError, StorageError):
        told = run.folder_of(NAME) / run.info.id
        ago = abs(time.time() - told.stat().st_mtime)  # somebody may have set the clock back
        return bool(held) and told.read_text() == held and ago < within
    return False


def _remember(run: Run, held: str) -> None:
    """Keep in mind what was told of a run that still holds something. Failing that, it is told once too often."""
    with suppress(OSError, StorageError):
        told = run.folder_of(NAME) / run.info.id
        if held:
            told.write_text(held)
        else:
            told.unlink(missing_ok=True)
