"""sfdisk(8), partx(8), blkid(8), lsblk(8) and kpartx(8): looking at disks, and mapping their partitions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from holdstill.testing.commands.arguments import Arguments, Refused
from holdstill.testing.commands.nbd import hide_partitions
from holdstill.testing.contents import Content, Table
from holdstill.testing.kernel import Map

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

SECTOR = 512


def _sfdisk(machine: Machine, arguments: list[str]) -> str:
    [device] = Arguments(arguments, flags=["--json"]).words
    content = machine.content(device)
    if not isinstance(content, Table):
        raise Refused(1, f"sfdisk: {device}: does not contain a recognized partition table")
    entries = [
        {
            "node": f"{device}p{number}",
            "start": part.start // content.sector,
            "size": part.size // content.sector,
            "type": "83",
        }
        | ({"uuid": part.uuid} if part.uuid else {})
        for number, part in enumerate(content.partitions, start=1)
    ]
    return json.dumps({"partitiontable": {"label": "dos", "sectorsize": SECTOR, "partitions": entries}})


def _partx(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--sector-size", "--output"], flags=["--pairs", "--delete"])
    if "--delete" in given:
        return hide_partitions(machine, given.words[0])
    content = machine.content(given.words[0])
    if not isinstance(content, Table):
        raise Refused(1, f"partx: {given.words[0]}: failed to read partition table")
    lines = []
    for number, part in enumerate(content.partitions, start=1):
        start, size = (
            place // content.sector * int(given["--sector-size"]) // SECTOR
            for place in (part.start, part.size)
        )
        row = {"NR": number, "START": start, "SECTORS": size, "TYPE": "0x83", "UUID": part.uuid, "NAME": ""}
        lines.append(" ".join(f'{column}="{row[column]}"' for column in given["--output"].split(",")))
    return "\n".join(lines) + "\n"


def _blkid(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--output", "--offset", "--size"], flags=["--probe"])
    content: Content = machine.content(given.words[0], int(given.get("--offset", "0")))
    if not content.kind:
        raise Refused(2, "")
    found = {"TYPE": content.kind, "UUID": content.uuid, "LABEL": content.label}
    return "".join(f"{key}={value}\n" for key, value in found.items() if value)


def _lsblk(machine: Machine, arguments: list[str]) -> str:
    [device] = Arguments(arguments, valued=["--output"], flags=["--json", "--paths"]).words
    return json.dumps({"blockdevices": [_block(machine, device)]})


def _block(machine: Machine, device: str) -> dict[str, Any]:
    children = [user if user.startswith("/dev/") else f"/dev/mapper/{user}" for user in machine.users(device)]
    known = [child for child in children if child in machine.devices()]
    nbd = machine.kernel.nbds.get(device)
    found = (
        [{"name": f"{device}p1", "kname": f"{device}p1", "maj:min": "259:0", "mountpoint": None}]
        if nbd and nbd.partitions
        else []
    )
    mounted = [mount.point for mount in machine.kernel.mounts if mount.source == device]
    return {
        "name": device,
        "maj:min": machine.number(device),
        "kname": f"/dev/dm-{device}" if device.startswith("/dev/mapper/") else device,
        "mountpoint": mounted[0] if mounted else None,
        "children": [*found, *(_block(machine, child) for child in known)],
    }


def _kpartx(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, flags=["-a", "-s", "-l", "-d"])
    [device] = given.words
    content = machine.content(device)
    table = content.partitions if isinstance(content, Table) else ()
    names = [f"{_base(device)}{number}" for number in range(1, len(table) + 1)]
    if "-l" in given:
        return "".join(
            f"{name} : 0 {part.size // SECTOR} {device} {part.start // SECTOR}\n"
            for name, part in zip(names, table, strict=True)
        )
    return _unmap(machine, names) if "-d" in given else _map(machine, device, names, content)


def _map(machine: Machine, device: str, names: list[str], content: Content) -> str:
    assert isinstance(content, Table)
    for name, part in zip(names, content.partitions, strict=True):
        machine.kernel.maps.setdefault(name, Map(f"part-{name}", ((part.size, device, part.start),)))
    return ""


def _unmap(machine: Machine, names: list[str]) -> str:
    """Remove what is not in use, and go on after what is."""
    present = [name for name in names if name in machine.kernel.maps]
    busy = [name for name in present if machine.users(f"/dev/mapper/{name}")]
    for name in present:
        if name not in busy:
            del machine.kernel.maps[name]
    if busy:
        raise Refused(1, f"{busy[0]} is in use")
    return ""


def _base(device: str) -> str:
    """The map's name without the partition's number: dashes doubled, a ``p`` after a digit."""
    parts = [
        part.replace("-", "--") for part in device.removeprefix("/dev/").removeprefix("mapper/").split("/")
    ]
    base = "-".join(parts)
    return f"{base}p" if base[-1].isdigit() else base


COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {
    "sfdisk": _sfdisk,
    "partx": _partx,
    "blkid": _blkid,
    "lsblk": _lsblk,
    "kpartx": _kpartx,
}
