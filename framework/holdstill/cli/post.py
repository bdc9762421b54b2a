"""``holdstill post JOB``."""

from __future__ import annotations

import click

from holdstill.cli.app import fail
from holdstill.cli.common import json_option, log_options, result, session_option, site
from holdstill.cli.output import print_json
from holdstill.errors import ExitCode
from holdstill.places import Places
from holdstill.run.recover import post


@click.command("post")
@click.argument("job")
@session_option
@click.option("--strict", is_flag=True, help="Fail if anything went wrong: 81 if something is still held.")
@log_options
@json_option
@click.pass_obj
def command(
    places: Places, job: str, session: str, strict: bool, log_to: str, verbose: bool, as_json: bool
) -> int:
    """Let go of what «holdstill pre JOB» holds. Nothing held: nothing to do, with success.

    A hold that did not last to the end (a snapshot that overflowed) fails with 79: the backup read garbage.
    What cannot be let go of does not spoil a good backup: it is logged, «held» shows it, «recover» and every
    later run try again; --strict makes it a failure here, too.
    """
    here = site(places, log_to=log_to, verbose=verbose, quiet=True)
    outcomes = post(here, job, session)
    if as_json:
        print_json([result(outcome) for outcome in outcomes])
    for outcome in outcomes:
        spoiled = [failure for failure in outcome.failures if failure.code == ExitCode.BACKUP_FAILED]
        if spoiled:
            return fail(spoiled[0].sentence, ExitCode.BACKUP_FAILED)
        if strict and not outcome.ok:
            return fail(outcome.sentence, outcome.code)
    return 0
