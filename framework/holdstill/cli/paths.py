"""``holdstill paths JOB``."""

from __future__ import annotations

import click

from holdstill.cli.forms import FORMS, Shown
from holdstill.cli.output import say
from holdstill.config.guests import guests_of
from holdstill.places import Places


@click.command("paths")
@click.argument("job")
@click.option(
    "--print",
    "form",
    type=click.Choice([*FORMS]),
    default="paths",
    show_default=True,
    help="In which form, of those that «pre --print» knows.",
)
@click.pass_obj
def command(places: Places, job: str, form: str) -> int:
    """Print where the guests' files of JOB are whenever it is held, whether it is held now or not.

    A line for each guest that the job opens. For backup software that asks what to back up before it calls «pre»: the
    configuration alone tells, the paths are the same each time, and nothing is there until the job is held.
    """
    folder = places.trees / job
    say(
        FORMS[form](Shown(str(folder), tuple(str(folder / guest) for guest in guests_of(places.config, job))))
    )
    return 0
