"""The names that we give to what we make: each bears its run's id, by which it is known for ours."""

from __future__ import annotations

import re

from holdstill.plugin import Host
from holdstill_plugins.nbd_servers import serves

RUN = r"(\d{8}T\d{6}Z[0-9a-f]{8})"
NAMED = re.compile(rf"(?:^|[-/])hs_{RUN}_|(?:^|/)holdstill-{RUN}-|/\.[^/]+\.holdstill-{RUN}(?= |$)")
"A snapshot's or a group's name, a map's, and the path of a copy."


def run_in(name: str) -> str:
    """Give the id of the run whose a volume, map or copy of that name is; empty if it is nobody's of ours."""
    found = NAMED.search(name)
    return next(filter(None, found.groups())) if found else ""


def run_behind(device: str, host: Host) -> str:
    """Give the id of the run whose a device is, by its name, its map's, or the copy that is served at it."""
    return run_in(device) or run_in(_map_of(device, host)) or run_in(serves(device, host))


def _map_of(device: str, host: Host) -> str:
    """Give the name of the map that the kernel calls ``/dev/dm-3``; empty for any other device."""
    if not device.startswith("/dev/dm-"):
        return ""
    try:
        return host.read(f"/sys/block/{device.removeprefix('/dev/')}/dm/name").strip()
    except OSError:
        return ""
