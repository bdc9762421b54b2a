"""``holdstill plugins``."""

from __future__ import annotations

import click

from holdstill.cli.common import json_option
from holdstill.cli.output import print_json, say
from holdstill.errors import ExitCode
from holdstill.places import Places
from holdstill.plugins.load import find
from holdstill.plugins.registry import Registry
from holdstill.words import Role


@click.command("plugins")
@json_option
@click.pass_obj
def command(places: Places, as_json: bool) -> int:
    """List the plugins of this host: what each can be in a job, and where it comes from."""
    known = Registry(find(places.plugins))
    rows = [
        {
            "name": found.name,
            "roles": [str(role) for role in Role if found.name in known.names(role) and not found.broken],
            "origin": found.origin,
            "broken": found.broken,
        }
        for found in known.found
    ]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            what = (
                f"BROKEN: {row['broken']}"
                if row["broken"]
                else ", ".join(row["roles"]) or "takes part in phases"
            )
            say(f"{row['name']:<12} {what:<20} {row['origin']}")
    return ExitCode.UNAVAILABLE if any(row["broken"] for row in rows) else ExitCode.OK
