"""``guest-lv``: the logical volumes inside a guest's disks, without activating anything.

LVM only reads the metadata; each volume becomes a device-mapper table of our own name, or, where a loop device
at its offset does (in an image file, or without device-mapper), such a one. The guest's volume group may be
named as the host's.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext

import structlog

from holdstill.plugin import (
    Complaint,
    Device,
    Facts,
    Hold,
    Host,
    Kind,
    NoOptions,
    NotPlannableError,
    Search,
    Sources,
    Step,
    Stray,
    hookimpl,
    missing_tools,
    printable,
)
from holdstill_plugins import loops, maps
from holdstill_plugins.guest_maps import Maps
from holdstill_plugins.guest_metadata import read_groups
from holdstill_plugins.guest_volumes import Group, Volume, stores_of
from holdstill_plugins.probe import PHYSICAL, Probed, probe
from holdstill_plugins.udev_rule import missing_rule

log = structlog.get_logger()

NO_FILES = {"thin-pool": "a pool", "cache-pool": "a pool", "vdo-pool": "a pool"}
"Volumes that hold only what others are made of."
Chosen = list[tuple[Group, Volume]]


@hookimpl
def holdstill_check(steps: tuple[Step[NoOptions], ...], host: Host) -> list[Complaint]:
    """Need LVM, to read the metadata, and udev to keep its hands off."""
    del steps
    return missing_tools(host, "lvm", "blkid", "losetup") + missing_rule(host)


@hookimpl
def holdstill_open(step: Step[NoOptions], sources: Sources, hold: Hold, host: Host) -> Sources:
    """Put the volumes in the place of the physical volumes."""
    physical = tuple(
        source for source in sources if isinstance(source, Device) and source.content == PHYSICAL
    )
    if not physical:
        return sources
    prefix, mapper = f"holdstill-{step.run.id}-{step.guest}", maps.has_device_mapper(host)
    chosen = _chosen(_read(physical, prefix, hold, host, mapper=mapper))
    found = _found_unopened(chosen, host)
    wanted = [(group, volume) for group, volume in chosen if not _is_swap(volume, found)]
    paths = _opened(wanted, prefix, hold, host, mapper=mapper)
    found |= {title: probe(host, path) for title, path in paths.items() if title not in found}
    rest = tuple(source for source in sources if source not in physical)
    return (*rest, *(_device(volume, paths, found) for _, volume in wanted if not _is_swap(volume, found)))


def _read(
    physical: tuple[Device, ...], prefix: str, hold: Hold, host: Host, *, mapper: bool
) -> tuple[Group, ...]:
    """Read the metadata, each physical volume being attached for just as long, and read-only."""
    with ExitStack() as stack:
        paths = [
            stack.enter_context(_readable(device, f"{prefix}-pv{number}", hold, host, mapper=mapper))
            for number, device in enumerate(physical)
        ]
        if not all(host.look(path) for path in paths):
            raise NotPlannableError(
                "which volumes are on the physical volumes is known once they are attached"
            )
        return read_groups(host, physical, paths)


def _readable(
    device: Device, name: str, hold: Hold, host: Host, *, mapper: bool
) -> AbstractContextManager[str]:
    """Give a path at which LVM finds a physical volume: by a name that the host's own LVM is told to pass over."""
    if device.attached:
        return nullcontext(device.path)
    if mapper and maps.is_block(device.store, host):
        return maps.window(name, device, hold, host)
    window = loops.Window(store=device.store, start=device.start, size=device.size, read_only=True)
    return loops.attached(window, device.name, hold, host)


def _chosen(groups: tuple[Group, ...]) -> Chosen:
    """Choose the volumes that may have files; each with its group."""
    visible = [(group, volume) for group in groups for volume in group.values() if not volume.hidden]
    return [(group, volume) for group, volume in visible if not _is_passed_over(volume)]


def _is_passed_over(volume: Volume) -> bool:
    if volume.role in {"O", "S"}:
        volume.refuse("is being merged with a snapshot; back the guest up when that is done.")
    why = "a snapshot of the guest's own" if volume.role == "s" else NO_FILES.get(volume.kind, "")
    if why:
        log.info("passed over", volume=printable(volume.title), why=why)
    return bool(why)


def _found_unopened(chosen: Chosen, host: Host) -> dict[str, Probed]:
    """Look what is on the volumes that lie in one piece: for that they need not be opened."""
    pieces = {volume.title: piece for _, volume in chosen if (piece := _one_piece(volume))}
    return {
        title: probe(host, piece.store, start=piece.start, size=piece.size) for title, piece in pieces.items()
    }


def _is_swap(volume: Volume, found: Mapping[str, Probed]) -> bool:
    """Swap space holds nothing to back up."""
    is_swap = volume.title in found and found[volume.title].content == "swap"
    if is_swap:
        log.info("passed over", volume=printable(volume.title), why="swap")
    return is_swap


def _opened(chosen: Chosen, prefix: str, hold: Hold, host: Host, *, mapper: bool) -> dict[str, str]:
    """Map or attach every volume; give their paths by title. What must be refused is, before any map is made."""
    looped = {
        volume.title: piece
        for _, volume in chosen
        if (piece := _one_piece(volume)) and not (mapper and maps.is_block(piece.store, host))
    }
    mapped = [(group, volume) for group, volume in chosen if volume.title not in looped]
    if mapped and not mapper:
        mapped[0][1].refuse("is not in one piece, which needs device-mapper, and this kernel has none.")
    paths = _mapped(mapped, prefix, hold, host)
    for title, piece in looped.items():
        paths[title] = loops.attach(piece, title, hold, host)
    return paths


def _one_piece(volume: Volume) -> loops.Window | None:
    """Give where a volume lies, if that is in one piece on one device."""
    areas = volume.segments[0].areas if len(volume.segments) == 1 and volume.kind == "linear" else ()
    found = [
        loops.Window(store=area.on.store, start=area.on.start + area.start, size=area.size)
        for area in areas
        if isinstance(area.on, Device)
    ]
    return found[0] if found else None


def _mapped(chosen: Chosen, prefix: str, hold: Hold, host: Host) -> dict[str, str]:
    """Make the volumes' maps, and those that they stand on; give their paths by title."""
    stores = {store: None for group, _ in chosen for store in stores_of(group)}
    plan = Maps(prefix, {store: maps.ground(store, hold, host) for store in stores})
    paths = {volume.title: plan.add(group, volume) for group, volume in chosen}
    for planned in plan.all:
        maps.create(planned.name, planned.title, planned.table, hold, host)
        if planned.message:
            host.run("dmsetup", "message", planned.name, "0", planned.message)
    return paths


def _device(volume: Volume, paths: Mapping[str, str], found: Mapping[str, Probed]) -> Device:
    path, probed = paths[volume.title], found[volume.title]
    piece = _one_piece(volume) or loops.Window(store=path)
    return Device(
        name=volume.title,
        path=path,
        size=volume.size,
        kind=Kind.VOLUME,
        store=piece.store,
        start=piece.start,
        content=probed.content,
        aliases=(*probed.aliases, *volume.aliases),
    )


@hookimpl
def holdstill_places(facts: Facts, host: Host) -> list[str]:
    """Tell what must be free."""
    return maps.promised(facts, host)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Remove a map that bears our UUID, or detach a loop device."""
    maps.undo(facts, host)


@hookimpl
def holdstill_strays(search: Search, host: Host) -> list[Stray]:
    """Find our maps."""
    return maps.strays(search, host) if maps.has_device_mapper(host) else []
