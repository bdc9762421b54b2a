"""``holdstill schema``."""

from __future__ import annotations

import click

from holdstill.cli.output import print_json
from holdstill.config.schema import schema
from holdstill.places import Places
from holdstill.plugins.load import find
from holdstill.plugins.registry import Registry


@click.command("schema")
@click.pass_obj
def command(places: Places) -> int:
    """Print the JSON Schema of the configuration, with the options of every plugin of this host.

    Editors complete and check by it: put «# yaml-language-server: $schema=PATH» on the first line.
    """
    print_json(schema(Registry(find(places.plugins))))
    return 0
