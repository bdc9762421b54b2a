"""``holdstill pre JOB``."""

from __future__ import annotations

from functools import partial

import click

from holdstill.callers import Call
from holdstill.cli.app import fail
from holdstill.cli.background import start_in_background
from holdstill.cli.common import (
    json_option,
    leave_word,
    log_options,
    session_option,
    site,
    within_option,
    without_option,
)
from holdstill.cli.forms import FORMS, Shown
from holdstill.cli.output import print_json, say
from holdstill.cli.tend import start_tending
from holdstill.errors import UsageError
from holdstill.places import Places
from holdstill.run.conduct import pre
from holdstill.run.limit import limited
from holdstill.run.outcome import Outcome
from holdstill.run.run import Run
from holdstill.run.start import Site, new_info, resolve
from holdstill.run.tend import is_tended


@click.command("pre")
@click.argument("job")
@session_option
@click.option(
    "--print",
    "form",
    type=click.Choice(["none", *FORMS]),
    default="none",
    show_default=True,
    help="Print where the guests' files are, when all are there: the job's folder, each guest's, or as this caller "
    "wants to read it.",
)
@within_option
@without_option
@click.option("--detach", is_flag=True, help="Answer at once, and hold in the background.")
@click.option("--in-background", is_flag=True, hidden=True)
@log_options
@json_option
@click.pass_obj
def command(
    places: Places,
    job: str,
    session: str,
    form: str,
    within: float | None,
    without: tuple[str, ...],
    detach: bool,
    in_background: bool,
    log_to: str,
    verbose: bool,
    as_json: bool,
) -> int:
    """Hold and open the guests of JOB, and leave them to «holdstill post JOB».

    Silent when it succeeds, unless it is to print something. When it fails, nothing is held, and the reason is one
    line on standard error. Held again for the same session, the old hold is let go of first.

    With --detach, success says that the configuration is right, and that a process of its own has begun.
    «holdstill held JOB --wait» waits for its end, and fails with 79 if nothing is held then; so does the next «post».
    """
    call = Call("pre", job, session, "json" if as_json else form, within=within)
    here = site(places, log_to=log_to, verbose=verbose, quiet=True, recovers=True, without=without)
    if detach:
        return _start(here, call, verbose=verbose)
    if in_background:
        here.begun, here.holding = here.holding, here.begun
        here.unheard = partial(_leave_word, places)
    return _hold(here, call)


def hold(places: Places, call: Call) -> int:
    """Do what a caller asks of us before its backup; give the exit code."""
    return _hold(site(places, quiet=True, recovers=True), call)


def _start(here: Site, call: Call, *, verbose: bool) -> int:
    """Have it done in the background, after a look at what can be told at once."""
    if call.form != "none":
        raise UsageError("--detach answers before anything is held: it has no --print and no --json.")
    resolve(here, new_info(here, call.job, call.session))
    words = [f"--session={call.session}", *(f"--without={plugin}" for plugin in here.without)]
    words += [f"--within={call.within:g}"] if call.within else []
    words += ["--verbose"] if verbose else []
    start_in_background(
        here.places, f"hold-{call.job}", "pre", call.job, *words, "--in-background", "--log=syslog"
    )
    return 0


def _leave_word(places: Places, outcome: Outcome) -> None:
    """Keep what nobody is there to be told."""
    leave_word(places.state, outcome, f"There was nothing to back up: {outcome.sentence}")


def _hold(here: Site, call: Call) -> int:
    with limited(here, call.job, call.within):
        run = pre(here, new_info(here, call.job, call.session))
        if not run.outcome.ok:
            return fail(run.outcome.sentence, run.outcome.code)
        if is_tended(here.plugins, run.journal.open_promises):
            start_tending(here, run.info.id)
    _print(run, call.form)
    return 0


def _print(run: Run, form: str) -> None:
    if form == "json":
        print_json({"run": run.info, "guests": {exposed.guest: exposed.sources for exposed in run.exposed}})
    elif form in FORMS:
        trees = tuple(tree for exposed in run.exposed for tree in exposed.trees)
        say(FORMS[form](Shown(run.info.trees, trees)))
