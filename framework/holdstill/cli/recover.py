"""``holdstill recover``."""

from __future__ import annotations

import click

from holdstill import log
from holdstill.cli.app import fail
from holdstill.cli.common import json_option, log_options, result, site
from holdstill.cli.output import print_json, tell
from holdstill.places import Places
from holdstill.run.recover import recover


@click.command("recover")
@log_options
@json_option
@click.pass_obj
def command(places: Places, log_to: str, verbose: bool, as_json: bool) -> int:
    """Finish what dead runs left: killed ones, ones before a reboot, ones whose lease has ended.

    Runs that live, and holds that wait for their «post», are not touched. Any number of times, at any time.
    """
    here = site(places, log_to=log_to, verbose=verbose)
    outcomes = recover(here)
    if as_json:
        print_json([result(outcome) for outcome in outcomes])
    for outcome in outcomes:
        if not outcome.ok:
            return fail(outcome.sentence, outcome.code)
    if not as_json and log.stderr_is_terminal():
        tell(
            f"{len(outcomes)} dead run{'s' if len(outcomes) > 1 else ''} finished."
            if outcomes
            else "Nothing to recover."
        )
    return 0
