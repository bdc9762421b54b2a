"""``holdstill plugins``."""

from __future__ import annotations

import click
import msgspec

from holdstill.cli.common import json_option
from holdstill.cli.output import print_json, say
from holdstill.errors import ExitCode
from holdstill.places import Places
from holdstill.plugins.load import Found, find
from holdstill.plugins.registry import Registry
from holdstill.words import Role


@click.command("plugins")
@json_option
@click.pass_obj
def command(places: Places, as_json: bool) -> int:
    """List the plugins of this host: what each can be in a job, and where it comes from."""
    known = Registry(find(places.plugins))
    rows = [_row(known, found) for found in known.found]
    if as_json:
        print_json(rows)
    else:
        width = max((len(row.name) for row in rows), default=0)
        for row in rows:
            say(f"{row.name:<{width}} {_uses(row):<26} {row.origin}")
    return ExitCode.UNAVAILABLE if any(row.broken for row in rows) else ExitCode.OK


class _Row(msgspec.Struct):
    """What is told of a plugin."""

    name: str
    roles: list[str]
    command: bool
    origin: str
    broken: str


def _row(known: Registry, found: Found) -> _Row:
    return _Row(
        name=found.name,
        roles=[str(role) for role in Role if found.name in known.names(role) and not found.broken],
        command=known.implements(found.name, "holdstill_command") and not found.broken,
        origin=found.origin,
        broken=found.broken,
    )


def _uses(row: _Row) -> str:
    if row.broken:
        return f"BROKEN: {row.broken}"
    uses = [*row.roles, *([f"«holdstill {row.name}»"] if row.command else [])]
    return ", ".join(uses) or "wraps others' steps"
