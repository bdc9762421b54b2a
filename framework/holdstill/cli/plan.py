"""``holdstill plan JOB``."""

from __future__ import annotations

import click

from holdstill.cli.common import json_option, site
from holdstill.cli.output import print_json, say
from holdstill.places import Places
from holdstill.run.plan import Plan, plan
from holdstill.run.start import new_info, resolve


@click.command("plan")
@click.argument("job")
@json_option
@click.pass_obj
def command(places: Places, job: str, as_json: bool) -> int:
    """Print the commands that JOB would run, in order, for the devices as they are now. Changes nothing.

    In «<…>» is what gets its name only when it is made, such as a loop device.
    """
    here = site(places, log_to="terminal", level="error")
    info = new_info(here, job)
    made = plan(here, info, resolve(here, info))
    if as_json:
        print_json(made)
    else:
        say(_text(made))
    return 0


def _text(made: Plan) -> str:
    lines = ["# expose", *made.expose]
    lines += [f"# Not known yet: {word}" for word in made.unknown]
    lines += ["", "# backup", *(made.backup or ["# (none: the caller of pre and post makes it)"])]
    lines += ["", "# release", *made.release]
    return "\n".join(
        [*lines, *(["", "# around"] if made.around else []), *(f"# {line}" for line in made.around)]
    )
