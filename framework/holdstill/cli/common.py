"""What several subcommands share."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

import click
import structlog

from holdstill import log
from holdstill.cli.overseeing import oversee
from holdstill.errors import StorageError
from holdstill.host.interruption import Interruption
from holdstill.host.real import RealHost
from holdstill.host.service_manager import READY, notify
from holdstill.journal.verdicts import Verdict, leave_verdict
from holdstill.log import Sink, syslog
from holdstill.log.screen import Screen
from holdstill.places import Places
from holdstill.run.outcome import Outcome
from holdstill.run.start import Site, registry

F = TypeVar("F", bound=Any)


def json_option(function: F) -> F:
    """Add ``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(function)


def log_options(function: F) -> F:
    """Add ``--log`` and ``--verbose``."""
    function = click.option("-v", "--verbose", is_flag=True, help="Log every command; to the terminal, too.")(
        function
    )
    return click.option(
        "--log",
        "log_to",
        type=click.Choice(["auto", "terminal", "syslog", "both"]),
        default="auto",
        show_default=True,
        help="Where events go: a person's terminal, or syslog (the systemd journal) when there is none.",
    )(function)


RUN_SESSION = "run"
"A run has a session of its own: it must never let go of what a caller of «pre» still reads."


def session_key(word: str) -> str:
    """Take a caller's word as it came, but as text: bytes that are none are escaped.

    Raises BadParameter for the session of runs.
    """
    if word == RUN_SESSION:
        raise click.BadParameter(f"{word!r} is the session of «holdstill run»; choose another key.")
    return word.encode(errors="surrogateescape").decode(errors="backslashreplace")


def session_option(function: F) -> F:
    """Add ``--session``."""
    return click.option(
        "--session",
        default="default",
        callback=lambda _ctx, _parameter, word: session_key(word),
        show_default=True,
        envvar="HOLDSTILL_SESSION",
        metavar="KEY",
        help="What the caller knows its hold by, such as a job's id.",
    )(function)


def _time(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    from holdstill.units import Duration

    try:
        found = None if value is None else Duration.parse(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    if found is not None and not found:
        raise click.BadParameter("nothing can be done in no time")
    return found


def without_option(function: F) -> F:
    """Add ``--without``."""
    return click.option(
        "--without",
        multiple=True,
        metavar="PLUGIN",
        help="A plugin that is around the job and takes no part this time, such as reboot. Can be repeated.",
    )(function)


def within_option(function: F) -> F:
    """Add ``--within``."""
    return click.option(
        "--within",
        callback=_time,
        metavar="TIME",
        help="How long the caller waits for «pre». What cannot be done in three quarters of it fails, a minute before "
        "its end at the latest, and what is held by then is let go of in the rest.",
    )(function)


def site(
    places: Places,
    *,
    log_to: str = "auto",
    verbose: bool = False,
    quiet: bool = False,
    level: str = "info",
    recovers: bool = False,
    without: tuple[str, ...] = (),
) -> Site:
    """Set up logging, signals, plugins, and what watches over them.

    ``quiet``: with no wish of the user's, nothing on the terminal. ``recovers``: if this process has to be given up,
    another one lets go of what it holds. ``without``: plugins that are around jobs, and take no part.
    """
    screen = Screen()
    sinks = _sinks(screen, log_to, verbose=verbose, quiet=quiet)
    log.configure(sinks, level="debug" if verbose else level)
    interruption = Interruption()
    interruption.listen()
    plugins = registry(places)
    oversee(plugins.overseer, places, recovers=recovers)
    return Site(
        places=places,
        host=RealHost(interruption, places.locks),
        plugins=plugins,
        interruption=interruption,
        progress=screen if screen in sinks and log.stderr_is_terminal() else None,
        begun=lambda: notify(READY),
        without=without,
    )


def _sinks(screen: Screen, log_to: str, *, verbose: bool, quiet: bool) -> list[Sink]:
    if log_to == "auto":
        log_to = "both" if verbose else "syslog" if quiet or not log.stderr_is_terminal() else "terminal"
    machines = syslog.sink() if log_to in {"syslog", "both"} else None
    return [*([screen] if log_to in {"terminal", "both"} else []), *([machines] if machines else [])]


def leave_word(state: Path, outcome: Outcome, sentence: str) -> None:
    """Keep, for whoever waits or calls ``post``, what nobody is there to be told."""
    verdict = Verdict(run=outcome.run, job=outcome.job, session=outcome.session, sentence=sentence)
    try:
        leave_verdict(state, verdict)
    except StorageError as error:
        structlog.get_logger().warning("nobody will learn of this", run=outcome.run, why=str(error))


def result(outcome: Outcome) -> dict[str, object]:
    """Give an outcome for programs, with its verdict and its exit code."""
    import msgspec

    return {"ok": outcome.ok, "code": int(outcome.code), **msgspec.to_builtins(outcome)}
