"""Device-mapper maps of ours: found again by name, and known for ours by their UUID."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from holdstill.plugin import (
    Device,
    Facts,
    Hold,
    Host,
    Layer,
    NodeKind,
    Search,
    Stray,
    UnavailableError,
)
from holdstill_plugins import loops
from holdstill_plugins.run_names import run_in

SECTOR = 512
DRIVERS = "/proc/misc"
"The kernel's drivers of this kind, a line each: number and name (proc_misc(5))."


def has_device_mapper(host: Host) -> bool:
    """Tell whether this kernel has it; asked for its version, it is loaded where it can be."""
    if not host.installed("dmsetup"):
        return False
    return (
        "device-mapper" in host.read(DRIVERS).split() or host.ask("dmsetup", "version", ok=(0, 1)).status == 0
    )


def create(name: str, title: str, table: str, hold: Hold, host: Host) -> str:
    """Make the map ``name`` of what ``title`` says, having promised to remove it; give its path.

    ``table`` is in dmsetup's concise form: lines separated by commas, in sectors of 512 bytes.
    """
    uuid = f"HOLDSTILL-{name}"
    hold.promise(f"map {name} of {title}", by_hand=["dmsetup", "remove", name], map=name, uuid=uuid)
    host.run("dmsetup", "create", "--concise", f"{name},{uuid},,rw,{table}")
    return f"/dev/mapper/{name}"


@contextmanager
def window(name: str, device: Device, hold: Hold, host: Host) -> Iterator[str]:
    """Have a map of just ``device`` for a moment, through which nothing can be written; give its path."""
    uuid, sectors = (
        f"HOLDSTILL-{name}",
        f"{device.size // SECTOR} linear {device.store} {device.start // SECTOR}",
    )
    promised = hold.promise(
        f"map {name} of {device.name}", by_hand=["dmsetup", "remove", name], map=name, uuid=uuid
    )
    host.run("dmsetup", "create", "--concise", f"{name},{uuid},,ro,0 {sectors}", planned=f"<map {name}>")
    yield f"/dev/mapper/{name}"
    host.run("dmsetup", "remove", "--retry", name)
    hold.undone(promised)


def is_block(path: str, host: Host) -> bool:
    """Tell whether a store is a device; otherwise it is a file, on which no map can be made."""
    node = host.look(path)
    return node is not None and node.kind is NodeKind.BLOCK


def ground(store: str, hold: Hold, host: Host) -> str:
    """Give a block device with all that is in ``store``: itself, or a loop device on it."""
    return store if is_block(store, host) else loops.attach(loops.Window(store=store), store, hold, host)


def promised(facts: Facts, host: Host) -> list[str]:
    """Give the map, or the loop devices, of a promise."""
    return [f"/dev/mapper/{facts['map']}"] if "map" in facts else loops.promised(facts, host)


def undo(facts: Facts, host: Host) -> None:
    """Remove a map that bears our UUID, or detach a loop device.

    Raises UnavailableError if the map of that name is not ours.
    """
    if "map" not in facts:
        loops.detach(facts, host)
        return
    name = str(facts["map"])
    uuid = _uuid(name, host)
    if uuid is None:
        return
    if uuid != facts["uuid"]:
        raise UnavailableError(f"the map {name} does not bear our UUID, so it is not removed")
    host.run("dmsetup", "remove", "--retry", name)


def _uuid(name: str, host: Host) -> str | None:
    """Give a map's UUID, or ``None`` if there is no map of that name."""
    with suppress(OSError):  # somebody may take it away at this moment
        if (node := host.look(f"/dev/mapper/{name}")) and node.number:
            return host.read(f"/sys/dev/block/{node.number}/dm/uuid").strip()
    return _uuids(host).get(name)  # one that was never made live has no name in /dev


def _uuids(host: Host) -> dict[str, str]:
    """Give the UUID of every map by name. All are asked for: «no such map» and «it failed» are one exit code."""
    fields = ("--columns", "--noheadings", "--separator", " ", "--options", "name,uuid")
    rows = (line.split() for line in host.ask("dmsetup", "info", *fields).out.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}  # noqa: PLR2004  a map without UUID is none of ours


def strays(search: Search, host: Host) -> list[Stray]:
    """Find maps that bear our UUID: of guests' volumes the last that were made first, then of physical volumes."""
    found = [(name, run_in(name)) for name, uuid in _uuids(host).items() if uuid == f"HOLDSTILL-{name}"]
    return [
        Stray(
            what=f"map {name}", by_hand=shlex.join(["dmsetup", "remove", name]), layer=_layer(name), run=run
        )
        for name, run in sorted(found, key=lambda pair: _number(pair[0]), reverse=True)
        if search.is_stray(run)
    ]


def _layer(name: str) -> Layer:
    return Layer.PARTITION if re.search(r"-pv\d+$", name) else Layer.VOLUME


def _number(name: str) -> int:
    """Maps are numbered in the order in which they are made, each after those that it stands on."""
    found = re.search(r"\d+$", name)
    return int(found[0]) if found else 0
