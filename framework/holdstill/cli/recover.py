"""``holdstill recover``."""

from __future__ import annotations

import os

import click

from holdstill import log
from holdstill.cli.app import fail
from holdstill.cli.common import json_option, log_options, result, site
from holdstill.cli.output import print_json, tell
from holdstill.host.command import readable
from holdstill.places import Places
from holdstill.run.lock import recovering
from holdstill.run.recover import recover
from holdstill.run.start import Site

TO_DIE = 60.0
"Seconds that a process which ends itself has for it."


@click.command("recover")
@click.option(
    "--strays", is_flag=True, help="Also report what runs made that no journal knows; change nothing of it."
)
@click.option("--after", metavar="PID", type=int, hidden=True)
@log_options
@json_option
@click.pass_obj
def command(
    places: Places, strays: bool, after: int | None, log_to: str, verbose: bool, as_json: bool
) -> int:
    """Finish what dead runs left: killed ones, ones before a reboot, ones whose lease has ended.

    Runs that live, and holds that wait for their «post», are not touched. Any number of times, at any time. When a
    journal is damaged, what its run holds beyond it is found by tag, and reported as with --strays.
    """
    here = site(places, log_to=log_to, verbose=verbose)
    with recovering(places.locks):
        if after:
            _wait_for_the_end(here, after)
        outcomes = recover(here, asked_for_strays=strays)
    if as_json:
        print_json([result(outcome) for outcome in outcomes])
    if bad := [outcome for outcome in outcomes if not outcome.ok]:
        return max([fail(outcome.sentence, outcome.code) for outcome in bad])
    if not as_json and log.stderr_is_terminal():
        finished = f"{len(outcomes)} dead run{'s' if len(outcomes) > 1 else ''} finished."
        notes = [note for outcome in outcomes for note in outcome.notes]
        tell(" ".join([finished, *notes]) if outcomes else "Nothing to recover.")
    return 0


def _wait_for_the_end(here: Site, pid: int) -> None:
    """Wait for the end of a process that has started us to let go of what it holds, and waits to hear of us."""
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    here.begun()
    readable([process], TO_DIE)
    os.close(process)
