"""Subcommands that plugins bring."""

from __future__ import annotations

import click

from holdstill import log
from holdstill.errors import PluginBugError, UnavailableError
from holdstill.host.interruption import Interruption
from holdstill.host.real import RealHost
from holdstill.log import syslog
from holdstill.places import Places, folder_of
from holdstill.plugins.load import find
from holdstill.plugins.registry import Registry

HOOK = "holdstill_command"


def command_of(places: Places, name: str) -> click.Command | None:
    """Give the subcommand of the plugin of that name; ``None`` if there is no such plugin, or it brings none.

    Raises UnavailableError if the plugin cannot be used, PluginBugError if it answers something else.
    """
    known = Registry(find(places.plugins, only=name))
    if not known.implements(name, HOOK):
        if any(found.broken for found in known.found):
            raise UnavailableError(f"{known.absent(name, f'holdstill {name}')}.")
        return None
    sink = syslog.sink()
    log.configure([sink] if sink else [])
    command = known.call(name, HOOK, host=_host(places), folder=folder_of(places.state, name))
    if not isinstance(command, click.Command):
        raise PluginBugError(f"The plugin {name!r} answered {HOOK} with {command!r}, not a click.Command.")
    return command


def _host(places: Places) -> RealHost:
    interruption = Interruption()
    interruption.listen()
    return RealHost(interruption, places.locks)
