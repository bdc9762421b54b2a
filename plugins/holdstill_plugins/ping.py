"""``ping``: tell a watcher of cron jobs, such as healthchecks (https://healthchecks.io), of each run.

``URL/start`` is asked for before the guests are held, ``URL`` after a good end, ``URL/fail`` after any other, with
the reason in the body. They belong together by ``rid``, a UUID made from the run's id. If none comes, because the
host is down or nobody called, the watcher tells. A ping that does not get through is logged, and changes nothing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import partial
from urllib.parse import SplitResult, urlsplit

import msgspec
import structlog

from holdstill.plugin import (
    Complaint,
    Duration,
    HoldstillError,
    Host,
    Outcome,
    Run,
    Step,
    UnavailableError,
    hookimpl,
)
from holdstill_plugins import secret
from holdstill_plugins.bounded import failures_of
from holdstill_plugins.report import ends_of, text

log = structlog.get_logger()

NAME = "ping"
PATIENCE = 5.0
"Seconds that one attempt may take."
PAUSES = (0.5, 1.0, 2.0, 4.0)
"Seconds between two attempts."
LATER = frozenset({408, 429, 500, 502, 503, 504})
"Answers that may be others a moment later (RFC 9110, 15)."
LONGEST = 10_000
"Characters of a body; healthchecks keeps no more of one either."


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Whom to ping."""

    url: str
    """Where the ping URL is; whoever knows it can say that all is well, so it is not written here. The path of a file
    that only root can read, or ``credential:NAME``, ``env:NAME``, ``command:ARGV``."""
    deadline: Duration = Duration(10)
    "How long one ping may take, with all its attempts."

    def __post_init__(self) -> None:
        """Refuse a URL in place of a reference. Raises ValueError."""
        secret.Reference.parse(self.url)


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need a URL, as far as it can be looked at now."""
    urls = dict.fromkeys(step.options.url for step in steps)
    return [complaint for url in urls for complaint in secret.complaints(url, host) or _unfit(url, host)]


def _unfit(reference: str, host: Host) -> list[Complaint]:
    try:
        if secret.can_be_looked_at(reference):
            _parts(reference, host)
    except UnavailableError as error:
        return [Complaint(str(error))]
    return []


@hookimpl
def holdstill_expose(run: Run) -> None:
    """Tell of the beginning: not in prepare, which ``holdstill check`` calls, too."""
    _ping(run, "start", "")


@hookimpl
def holdstill_finished(run: Run, outcome: Outcome) -> None:
    """Tell of the end."""
    if ends_of(outcome) == {"ok"}:
        _ping(run, "", "")
    else:
        _ping(run, "fail", text(outcome, os.uname().nodename))


def _ping(run: Run, what: str, body: str) -> None:
    step: Step[Options] | None = run.around(NAME)
    if step is None:
        return
    try:
        address = _address(step.options.url, what, run)
    except HoldstillError as error:
        log.error("not pinged", what=what or "success", why=str(error))
        return
    within = step.options.deadline
    asked = partial(_ask, address, body[:LONGEST].encode(), run.host, time.monotonic() + within)
    for why in failures_of({what: asked}, within).values():
        log.error("not pinged", what=what or "success", why=why)


def _parts(reference: str, host: Host) -> SplitResult:
    """Read the URL. Raises a HoldstillError that does not tell it."""
    with suppress(ValueError):
        parts = urlsplit(secret.word(reference, host))
        if parts.scheme in {"http", "https"} and parts.hostname and " " not in parts.path:
            return parts
    raise UnavailableError(f"What {reference} holds is not a URL of http or https.")


def _address(reference: str, what: str, run: Run) -> str:
    """Give the URL of one kind of ping of a run."""
    from uuid import NAMESPACE_URL, uuid5

    parts = _parts(reference, run.host)
    rid = f"rid={uuid5(NAMESPACE_URL, f'holdstill:{run.info.id}')}"
    path = f"{parts.path.rstrip('/')}/{what}".rstrip("/")
    return parts._replace(path=path, query=f"{parts.query}&{rid}".lstrip("&")).geturl()


def _ask(address: str, body: bytes, host: Host, ends: float) -> None:
    """Ask for an address, again after a while if that may help. Raises UnavailableError if it does not.

    Nothing is asked after ``ends`` (monotonic): a beginning must not be told when the end has been.
    """
    for pause in (*PAUSES, None):
        why, later = _refusal(address, body, min(PATIENCE, ends - time.monotonic()))
        if not why:
            return
        if pause is None or not later or time.monotonic() + pause >= ends:
            raise UnavailableError(why)
        host.pause(pause)


def _refusal(address: str, body: bytes, patience: float) -> tuple[str, bool]:
    """Ask once; say why it did not succeed, and whether it may do so later."""
    from http.client import HTTPException
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    try:
        request = Request(address, data=body, headers={"User-Agent": "holdstill"})  # noqa: S310  see _parts
        with urlopen(request, timeout=patience):  # noqa: S310
            return "", False
    except HTTPError as error:
        with error:
            return f"it answered {error.code}", error.code in LATER
    except OSError as error:
        return f"it cannot be reached: {getattr(error, 'reason', None) or error}", True
    except HTTPException as error:
        return f"it does not speak HTTP ({type(error).__name__})", True
