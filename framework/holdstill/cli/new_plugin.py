"""``holdstill new-plugin NAME``."""

from __future__ import annotations

from pathlib import Path

import click

from holdstill.cli.called_in import PathFromThere, called_in
from holdstill.cli.output import say
from holdstill.places import Places
from holdstill.plugins.load import find
from holdstill.plugins.new import Names, make


@click.command("new-plugin")
@click.argument("name")
@click.option(
    "--to",
    type=PathFromThere(),
    metavar="FOLDER",
    help="A new folder, or an empty one. Default: holdstill-NAME, where you are.",
)
@click.pass_context
def command(ctx: click.Context, name: str, to: Path | None) -> int:
    """Write a distribution with three plugins, to begin from: NAME quiesces, NAME-open opens, NAME-ends listens.

    It comes with tests, which run the plugins on a modelled machine that fails and dies at every command, and with what
    runs them on GitHub. NAME is made of small letters and digits, with dashes between: what it is for.
    """
    places: Places = ctx.obj
    names = Names.of(name, {found.name: found.origin for found in find(places.plugins)})
    folder = to or called_in(ctx) / names.distribution
    make(names, folder)
    say(
        f"{folder} has the plugins {', '.join(names.plugins)}, and their tests. Run them:\n"
        f"  cd {folder} && python3 -m pytest"
    )
    return 0
