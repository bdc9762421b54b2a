"""Who keeps open what promises were made for."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from holdstill.errors import HoldstillError
from holdstill.host import Holder, Host
from holdstill.journal.records import Promise
from holdstill.plugins.registry import Registry

log = structlog.get_logger()


def places_of(promise: Promise, plugins: Registry, host: Host) -> tuple[str, ...]:
    """Give the mount points and devices that must be free before a promise can be kept."""
    if not plugins.implements(promise.plugin, "holdstill_places"):
        return ()
    try:
        places: tuple[str, ...] = plugins.asked(
            promise.plugin, "holdstill_places", tuple[str, ...], facts=promise.facts, host=host
        )
        return places
    except HoldstillError as error:
        log.warning("cannot be looked at", what=promise.what, why=str(error))
        return ()


def openers_of(promises: Iterable[Promise], plugins: Registry, host: Host) -> tuple[Holder, ...]:
    """Tell who keeps open, at this moment, what the promises were made for."""
    places = [place for promise in promises for place in places_of(promise, plugins, host)]
    return host.holders(places) if places else ()
