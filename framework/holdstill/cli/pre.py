"""``holdstill pre JOB``."""

from __future__ import annotations

import click

from holdstill.cli.app import fail
from holdstill.cli.common import json_option, log_options, session_option, site
from holdstill.cli.output import print_json
from holdstill.cli.tend import start_tending
from holdstill.places import Places
from holdstill.run.conduct import pre
from holdstill.run.start import new_info
from holdstill.run.tend import is_tended


@click.command("pre")
@click.argument("job")
@session_option
@log_options
@json_option
@click.pass_obj
def command(places: Places, job: str, session: str, log_to: str, verbose: bool, as_json: bool) -> int:
    """Hold and open the guests of JOB, and leave them to «holdstill post JOB».

    Silent when it succeeds. When it fails, nothing is held, and the reason is one line on standard error.
    Held again for the same session, the old hold is let go of first.
    """
    here = site(places, log_to=log_to, verbose=verbose, quiet=True)
    run = pre(here, new_info(here, job, session))
    if not run.outcome.ok:
        return fail(run.outcome.sentence, run.outcome.code)
    if is_tended(here.plugins, run.journal.open_promises):
        start_tending(places, run.info.id)
    if as_json:
        print_json({"run": run.info, "guests": {exposed.guest: exposed.sources for exposed in run.exposed}})
    return 0
