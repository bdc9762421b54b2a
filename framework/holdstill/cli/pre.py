"""``holdstill pre JOB``."""

from __future__ import annotations

import click

from holdstill.callers import Call
from holdstill.cli.app import fail
from holdstill.cli.common import json_option, log_options, session_option, site, within_option
from holdstill.cli.forms import FORMS, Shown
from holdstill.cli.output import print_json, say
from holdstill.cli.tend import start_tending
from holdstill.places import Places
from holdstill.run.conduct import pre
from holdstill.run.limit import limited
from holdstill.run.run import Run
from holdstill.run.start import new_info
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
@log_options
@json_option
@click.pass_obj
def command(
    places: Places,
    job: str,
    session: str,
    form: str,
    within: float | None,
    log_to: str,
    verbose: bool,
    as_json: bool,
) -> int:
    """Hold and open the guests of JOB, and leave them to «holdstill post JOB».

    Silent when it succeeds, unless it is to print something. When it fails, nothing is held, and the reason is one
    line on standard error. Held again for the same session, the old hold is let go of first.
    """
    call = Call("pre", job, session, "json" if as_json else form, within=within)
    return hold(places, call, log_to=log_to, verbose=verbose)


def hold(places: Places, call: Call, *, log_to: str = "auto", verbose: bool = False) -> int:
    """Do what a caller asks of us before its backup; give the exit code."""
    here = site(places, log_to=log_to, verbose=verbose, quiet=True, recovers=True)
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
