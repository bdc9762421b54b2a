"""``holdstill run JOB``."""

from __future__ import annotations

import click

from holdstill import log
from holdstill.cli.app import fail
from holdstill.cli.common import RUN_SESSION, json_option, log_options, result, site
from holdstill.cli.output import print_json, tell
from holdstill.host.service_manager import READY, STOPPING, notify
from holdstill.places import Places
from holdstill.run.conduct import run_job
from holdstill.run.outcome import Outcome
from holdstill.run.start import new_info


@click.command("run")
@click.argument("job")
@log_options
@json_option
@click.pass_obj
def command(places: Places, job: str, log_to: str, verbose: bool, as_json: bool) -> int:
    """Do a whole JOB: hold its guests still, open them, back them up, let go, and verify."""
    here = site(places, log_to=log_to, verbose=verbose, recovers=True)
    notify(READY)
    outcome = run_job(here, new_info(here, job, RUN_SESSION))
    notify(STOPPING)
    if as_json:
        print_json(result(outcome))
    if not outcome.ok:
        return fail(outcome.sentence, outcome.code)
    if not as_json and log.stderr_is_terminal():
        tell(_summary(outcome))
    return 0


def _summary(outcome: Outcome) -> str:
    took = ", ".join(f"{phase} {seconds:.1f} s" for phase, seconds in outcome.seconds.items())
    quiet = ", ".join(f"{guest} {seconds * 1000:.0f} ms" for guest, seconds in outcome.quiet_seconds.items())
    frozen = ", ".join(
        f"{guest} {seconds * 1000:.0f} ms" for guest, seconds in outcome.frozen_seconds.items()
    )
    not_quiet = "".join(
        f" {one.guest} is as after a power cut: {one.plugin} was not quiet ({one.why_not})"
        for one in outcome.crash_consistent
    )
    together = f" Disks frozen together: {frozen}." if frozen else ""
    return f"Done: {took}. Held still for their snapshots: {quiet}.{together}{not_quiet} Nothing is held."
