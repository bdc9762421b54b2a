"""``holdstill post JOB``."""

from __future__ import annotations

from functools import partial

import click

from holdstill import log
from holdstill.callers import Call
from holdstill.cli.app import fail
from holdstill.cli.background import start_in_background
from holdstill.cli.common import (
    json_option,
    leave_word,
    log_options,
    result,
    session_option,
    site,
    without_option,
)
from holdstill.cli.output import print_json, tell
from holdstill.errors import ExitCode, UsageError
from holdstill.journal.shelf import boot_id, holds
from holdstill.places import Places
from holdstill.plugins.registry import Registry
from holdstill.run.outcome import CallerVerdict, Failure, Outcome
from holdstill.run.recover import post
from holdstill.run.start import registry
from holdstill.words import Role


@click.command("post")
@click.argument("job")
@session_option
@click.option(
    "--outcome",
    "said",
    type=click.Choice([verdict.value for verdict in CallerVerdict]),
    default=CallerVerdict.UNKNOWN.value,
    show_default=True,
    help="What became of the backup, for whoever hears of the end of runs. It changes no exit code.",
)
@without_option
@click.option("--strict", is_flag=True, help="Fail if anything went wrong: 81 if something is still held.")
@click.option("--detach", is_flag=True, help="Answer at once, and let go in the background.")
@click.option("--in-background", is_flag=True, hidden=True)
@log_options
@json_option
@click.pass_obj
def command(
    places: Places,
    job: str,
    session: str,
    said: str,
    without: tuple[str, ...],
    strict: bool,
    detach: bool,
    in_background: bool,
    log_to: str,
    verbose: bool,
    as_json: bool,
) -> int:
    """Let go of what «holdstill pre JOB» holds. Nothing held: nothing to do, with success.

    A «pre» that is still at work is told, and lets go itself; it is waited for, for about 20 seconds.

    A JOB that neither the configuration nor a journal knows is misspelt, and fails with 66.

    A hold that did not last to the end (a snapshot that overflowed, a lease that ended) fails with 79: the backup
    read garbage. What cannot be let go of does not spoil a good backup: it is logged, «held» shows it, «recover»
    and every later run try again; --strict makes it a failure here, too.

    With --detach, success says that a process of its own has begun to let go; «holdstill held JOB --wait» waits
    for its end, and tells it.
    """
    if detach and (strict or as_json):
        raise UsageError(
            "--detach answers before it is known how letting go ends: it has no --strict and no --json."
        )
    if detach and _is_held(places, job, session):
        words = [f"--session={session}", f"--outcome={said}", *(f"--without={plugin}" for plugin in without)]
        words += ["--verbose"] if verbose else []
        start_in_background(places, f"release-{job}", "post", job, *words, "--in-background", "--log=syslog")
        return _misspelt(registry(places), without) if without else 0
    here = site(places, log_to=log_to, verbose=verbose, quiet=True, recovers=True, without=without)
    if in_background:
        here.unheard = partial(_leave_words, places)
    outcomes = post(here, job, session, CallerVerdict(said))
    if not outcomes and log.stderr_is_terminal():
        tell(f"Nothing of the job {job!r} was held for the session {session!r}: nothing to let go of.")
    if as_json:
        print_json([result(outcome) for outcome in outcomes])
    return verdict(outcomes, strict=strict) or _misspelt(here.plugins, without)


def let_go(places: Places, call: Call) -> list[Outcome]:
    """Do what a caller asks of us after its backup."""
    here = site(places, quiet=True, recovers=True)
    return post(here, call.job, call.session, CallerVerdict(call.verdict))


def _is_held(places: Places, job: str, session: str) -> bool:
    headers = [held.story.header for held in holds(places.state, boot_id())]
    return any(header and (header.job, header.session) == (job, session) for header in headers)


def _misspelt(plugins: Registry, without: tuple[str, ...]) -> int:
    """Tell of a plugin that was to take no part, and could take none. That keeps nobody from letting go before."""
    known = {*plugins.names(Role.AROUND), *(found.name for found in plugins.found if found.broken)}
    for name in without:
        if name not in known:
            said = plugins.absent(name, "--without")
            end = "" if said.endswith("?") else "."
            return fail(f"{said}{end} It was let go of all the same.", ExitCode.USAGE)
    return 0


def _leave_words(places: Places, outcome: Outcome) -> None:
    """Keep what nobody is there to be told."""
    for failure in _spoiled(outcome):
        leave_word(places.state, outcome, failure.sentence)


def _spoiled(outcome: Outcome) -> list[Failure]:
    return [failure for failure in outcome.failures if failure.code == ExitCode.BACKUP_FAILED]


def verdict(outcomes: list[Outcome], *, strict: bool = False) -> int:
    """Tell the caller how letting go ended; give the exit code."""
    for outcome in outcomes:
        for failure in _spoiled(outcome):
            return fail(failure.sentence, failure.code)
        if strict and not outcome.ok:
            return fail(outcome.sentence, outcome.code)
    return 0
