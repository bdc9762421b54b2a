"""A disk's partition table: MBR or GPT, written for sectors of 512 or of 4,096 bytes. Reading changes nothing.

sfdisk(8) reads a table as the device's own sectors have it. A guest whose disk had sectors of another size than
the device that we see (an image from a disk of 4,096, shown by a volume of 512) wrote another table: a GPT is
not where it is looked for, and an MBR gives starts that are plausible and wrong. partx(8) can be told the size.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import msgspec

from holdstill.plugin import Device, GuestUnusableError, Host, Kind, printable
from holdstill_plugins.probe import Probed, probe

SECTOR, LARGE_SECTOR = 512, 4096
PROTECTIVE = "ee"
EXTENDED = {"5", "f", "85"}
"MBR types of extended partitions: a list of others, nothing to read by itself."
COLUMNS = "NR,START,SECTORS,TYPE,UUID,NAME"


class Partition(msgspec.Struct, frozen=True):
    """One partition."""

    number: int
    start: int
    "Bytes from the disk's beginning."
    size: int
    "Bytes."
    uuid: str = ""
    "As a guest's fstab may name it: ``PARTUUID=…``."
    label: str = ""
    "The same: ``PARTLABEL=…``."
    found: Probed = Probed()
    "What is on it."


class Table(msgspec.Struct, frozen=True):
    """A partition table; one without partitions if the disk has none."""

    partitions: tuple[Partition, ...] = ()
    sector: int = SECTOR
    "What it counts in, in bytes."
    own: bool = True
    "Whether that is the size of the device's own sectors."


def read_table(host: Host, disk: Device) -> Table:
    """Give the partitions of a disk, and what is on each; none if it has no table.

    Raises GuestUnusableError if a partition lies outside the disk or over another one: what somebody made
    by hand to fool us, or a table that is read wrongly.
    """
    said = _sfdisk(host, disk)
    if not said:
        return Table()
    entries, sector = said.get("partitions", []), int(said.get("sectorsize", SECTOR))
    other = SECTOR if sector == LARGE_SECTOR else LARGE_SECTOR
    if any(entry.get("type") == PROTECTIVE for entry in entries):
        return _probed(host, disk, _protected(host, disk, other))
    own = Table(_from_sfdisk(said, entries, sector), sector)
    if said.get("label") != "dos":
        return _probed(host, disk, own)
    return _likelier(host, disk, own, other)


def _sfdisk(host: Host, disk: Device) -> dict[str, Any]:
    answer = host.ask("sfdisk", "--json", disk.path, ok=(0, 1))
    if answer.status or not answer.out.strip():
        return {}
    table: dict[str, Any] = json.loads(answer.out)["partitiontable"]
    return table


def _protected(host: Host, disk: Device, sector: int) -> Table:
    """Give the GPT that is behind its protective MBR, not where the device's own sectors would have it."""
    if table := _partx(host, disk, sector):
        return Table(table, sector, own=False)
    raise GuestUnusableError(
        f"The GPT of {printable(disk.name)} is damaged or cut off: only its protective MBR is left."
    )


def _likelier(host: Host, disk: Device, own: Table, other: int) -> Table:
    """Give the reading of an MBR by which more partitions begin with something known; in doubt, the usual one.

    An MBR does not say what it counts in. What is on a disk does: a file system begins where its partition does.
    """
    if _fault(disk, own):
        plausible = 0
    else:
        own = _probed(host, disk, own)
        plausible = _known(own)
    if plausible < len(own.partitions):
        large = Table(_partx(host, disk, other), other, own=False)
        if large.partitions and not _fault(disk, large):
            large = _probed(host, disk, large)
            if _known(large) > plausible:
                return large
    return _sound(disk, own)


def _known(table: Table) -> int:
    return sum(bool(partition.found.content) for partition in table.partitions)


def _probed(host: Host, disk: Device, table: Table) -> Table:
    """Look what is on each partition, all of them being where partitions can be."""
    found = [
        msgspec.structs.replace(
            partition, found=probe(host, disk.path, start=partition.start, size=partition.size)
        )
        for partition in _sound(disk, table).partitions
    ]
    return msgspec.structs.replace(table, partitions=tuple(found))


def _from_sfdisk(said: dict[str, Any], entries: list[dict[str, Any]], sector: int) -> tuple[Partition, ...]:
    identity = str(said.get("id", "")).removeprefix("0x") if said.get("label") == "dos" else ""
    data = [entry for entry in entries if str(entry.get("type")) not in EXTENDED]
    return tuple(_partition(entry, sector, identity, number) for number, entry in enumerate(data, start=1))


def _partition(entry: dict[str, Any], sector: int, identity: str, position: int) -> Partition:
    digits = re.search(r"\d+$", str(entry["node"]))  # sfdisk names partitions as the kernel would
    number = int(digits[0]) if digits else position
    return Partition(
        number=number,
        start=int(entry["start"]) * sector,
        size=int(entry["size"]) * sector,
        uuid=str(entry.get("uuid", "")).lower() or (f"{identity}-{number:02x}" if identity else ""),
        label=str(entry.get("name", "")),
    )


def _partx(host: Host, disk: Device, sector: int) -> tuple[Partition, ...]:
    """Read a table that counts in sectors of that size; partx itself always tells sectors of 512 bytes."""
    answer = host.ask(
        *("partx", "--sector-size", str(sector), "--pairs", "--output", COLUMNS, disk.path),
        ok=(0, 1),
    )
    rows = [dict(word.split("=", 1) for word in shlex.split(line)) for line in answer.out.splitlines()]
    return tuple(
        Partition(
            number=int(row["NR"]),
            start=int(row["START"]) * SECTOR,
            size=int(row["SECTORS"]) * SECTOR,
            uuid=row["UUID"].lower(),
            label=_unescaped(row["NAME"]),
        )
        for row in rows
        if row["TYPE"].removeprefix("0x") not in EXTENDED
    )


def _unescaped(name: str) -> str:
    r"""Undo the escapes of a column's odd bytes: ``\x1b``."""
    plain = re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match[1], 16)]), name.encode())
    return plain.decode(errors="replace")


def _sound(disk: Device, table: Table) -> Table:
    if fault := _fault(disk, table):
        raise GuestUnusableError(fault)
    return table


def _fault(disk: Device, table: Table) -> str:
    """Say what no honest table has; empty if there is nothing of it."""
    end = 1
    for partition in sorted(table.partitions, key=lambda one: one.start):
        name = f"Partition {partition.number} of {printable(disk.name)}"
        if partition.size <= 0:
            return f"{name} is empty."
        if partition.start + partition.size > disk.size:
            return f"{name} ends outside the disk."
        if partition.start < end:
            return f"{name} overlaps another one, or the table."
        end = partition.start + partition.size
    return ""


def whole_disk(host: Host, disk: Device) -> Device:
    """Give a disk without a table as what is on all of it."""
    found = probe(host, disk.path)
    return msgspec.structs.replace(disk, content=found.content, aliases=found.aliases)


def partition_device(disk: Device, partition: Partition, *, path: str, attached: bool = True) -> Device:
    """Give a partition as a device, with what was found on it."""
    names = {"PARTUUID": partition.uuid, "PARTLABEL": partition.label}
    aliases = (*partition.found.aliases, *(f"{key}={value}" for key, value in names.items() if value))
    return Device(
        name=f"{disk.name}p{partition.number}",
        path=path,
        size=partition.size,
        kind=Kind.PARTITION,
        store=disk.store,
        start=disk.start + partition.start,
        attached=attached,
        content=partition.found.content,
        aliases=aliases,
    )
