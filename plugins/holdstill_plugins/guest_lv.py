"""``guest-lv``: the logical volumes inside a guest's disk, without activating anything.

LVM only reads the metadata; each volume becomes a device-mapper table of our own name, or, where the kernel
has no device-mapper, a loop device at its offset. The guest's volume group may be named as the host's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from holdstill.plugin import (
    Complaint,
    Device,
    Facts,
    GuestUnusableError,
    Hold,
    Host,
    Kind,
    NodeKind,
    NoOptions,
    Sources,
    Step,
    UnavailableError,
    hookimpl,
    missing_tools,
)
from holdstill_plugins import loops
from holdstill_plugins.guest_metadata import SECTOR, Volume, read_volumes
from holdstill_plugins.probe import PHYSICAL, probe
from holdstill_plugins.udev_rule import missing_rule


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
    volumes = _read(physical, hold, host)
    mapper = _has_device_mapper(host)
    opened = [
        _opened(volume, f"holdstill-{step.run.id}-{step.guest}-{number}", hold, host, mapper=mapper)
        for number, volume in enumerate(volumes)
        if not _is_swap(volume, host)
    ]
    rest = tuple(source for source in sources if source not in physical)
    return (*rest, *opened)


def _read(physical: tuple[Device, ...], hold: Hold, host: Host) -> tuple[Volume, ...]:
    """Read the metadata, each physical volume being attached for just as long, and read-only."""
    with ExitStack() as stack:
        paths = [stack.enter_context(_readable(device, hold, host)) for device in physical]
        return read_volumes(host, physical, paths)


@contextmanager
def _readable(device: Device, hold: Hold, host: Host) -> Iterator[str]:
    """Give a path at which LVM finds a physical volume."""
    if device.attached:
        yield device.path
        return
    window = loops.Window(store=device.store, start=device.start, size=device.size, read_only=True)
    with loops.attached(window, device.name, hold, host) as path:
        yield path


def _is_swap(volume: Volume, host: Host) -> bool:
    """Swap space holds nothing to back up."""
    if not volume.segments:
        return False
    first = volume.segments[0]
    start = first.device.start + first.start
    return probe(host, first.device.store, start=start, size=first.size).content == "swap"


def _has_device_mapper(host: Host) -> bool:
    return host.installed("dmsetup") and host.ask("dmsetup", "version", ok=(0, 1)).status == 0


def _opened(volume: Volume, name: str, hold: Hold, host: Host, *, mapper: bool) -> Device:
    if not volume.segments:
        raise GuestUnusableError(
            f"The volume {volume.title} is {volume.layout}, not linear; name 'guest-vg' instead of 'guest-lv'."
        )
    first = volume.segments[0].device
    on_devices = all(_is_block(segment.device.store, host) for segment in volume.segments)
    if mapper and on_devices:
        path = _map(volume, name, hold, host)
    elif len(volume.segments) == 1:
        path = _attach(volume, hold, host)
    else:
        raise GuestUnusableError(
            f"The volume {volume.title} is in {len(volume.segments)} pieces, which needs device-mapper and disks "
            "that are devices; name 'guest-vg' instead of 'guest-lv'."
        )
    found = probe(host, path)
    return Device(
        name=volume.title,
        path=path,
        size=sum(segment.size for segment in volume.segments),
        kind=Kind.VOLUME,
        store=first.store,
        start=first.start + volume.segments[0].start,
        content=found.content,
        aliases=(*found.aliases, *volume.aliases),
    )


def _is_block(path: str, host: Host) -> bool:
    node = host.look(path)
    return node is not None and node.kind is NodeKind.BLOCK


def _attach(volume: Volume, hold: Hold, host: Host) -> str:
    [segment] = volume.segments
    start = segment.device.start + segment.start
    window = loops.Window(store=segment.device.store, start=start, size=segment.size)
    return loops.attach(window, volume.title, hold, host)


def _map(volume: Volume, name: str, hold: Hold, host: Host) -> str:
    """Map a volume straight onto the snapshot; its dm UUID says whose it is."""
    uuid = f"HOLDSTILL-{name}"
    hold.promise(f"map {name} of {volume.title}", by_hand=["dmsetup", "remove", name], map=name, uuid=uuid)
    host.run("dmsetup", "create", "--concise", f"{name},{uuid},,rw,{_table(volume)}")
    return f"/dev/mapper/{name}"


def _table(volume: Volume) -> str:
    """Write a device-mapper table in dmsetup's concise form: sectors of 512 bytes (the kernel's linear target)."""
    lines, at = [], 0
    for segment in volume.segments:
        length, start = segment.size // SECTOR, (segment.device.start + segment.start) // SECTOR
        lines.append(f"{at} {length} linear {segment.device.store} {start}")
        at += length
    return ",".join(lines)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Remove a map that bears our UUID, or detach a loop device."""
    if "map" not in facts:
        loops.detach(facts, host)
        return
    name = str(facts["map"])
    uuid = _uuids(host).get(name)
    if uuid is None:
        return
    if uuid != facts["uuid"]:
        raise UnavailableError(f"the map {name} does not bear our UUID, so it is not removed")
    host.run("dmsetup", "remove", "--retry", name)


def _uuids(host: Host) -> dict[str, str]:
    """Give the UUID of every map by name. All are asked for: «no such map» and «it failed» are one exit code."""
    fields = ("--columns", "--noheadings", "--separator", " ", "--options", "name,uuid")
    rows = (line.split() for line in host.ask("dmsetup", "info", *fields).out.splitlines())
    return {row[0]: row[1] for row in rows if len(row) == 2}  # noqa: PLR2004  a map without UUID is none of ours
