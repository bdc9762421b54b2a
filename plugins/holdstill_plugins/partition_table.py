"""A disk's partition table, read by sfdisk(8), which changes nothing and knows MBR and GPT."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from holdstill.plugin import Device, GuestUnusableError, Host, Kind, printable
from holdstill_plugins.probe import Probed

PROTECTIVE = "ee"
EXTENDED = {"5", "f", "85"}
"MBR types of extended partitions: a list of others, nothing to read by itself."


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


def read_table(host: Host, disk: Device) -> tuple[Partition, ...]:
    """Give the partitions of a disk; none if it has no table.

    Raises GuestUnusableError if a partition lies outside the disk or over another one: what somebody made
    by hand to fool us, or a table that is read wrongly.
    """
    answer = host.ask("sfdisk", "--json", disk.path, ok=(0, 1))
    table = json.loads(answer.out)["partitiontable"] if answer.status == 0 and answer.out.strip() else {}
    if any(entry.get("type") == PROTECTIVE for entry in table.get("partitions", [])):
        raise GuestUnusableError(
            f"The GPT of {printable(disk.name)} is damaged or cut off: only its protective MBR is left."
        )
    entries = [entry for entry in table.get("partitions", []) if str(entry.get("type")) not in EXTENDED]
    sector = int(table.get("sectorsize", 512))
    found = tuple(_partition(entry, sector, number) for number, entry in enumerate(entries, start=1))
    _check(disk, found)
    return found


def _partition(entry: dict[str, Any], sector: int, position: int) -> Partition:
    digits = re.search(r"\d+$", str(entry["node"]))  # sfdisk names partitions as the kernel would
    return Partition(
        number=int(digits[0]) if digits else position,
        start=int(entry["start"]) * sector,
        size=int(entry["size"]) * sector,
        uuid=str(entry.get("uuid", "")).lower(),
        label=str(entry.get("name", "")),
    )


def _check(disk: Device, partitions: tuple[Partition, ...]) -> None:
    end = 1
    for partition in sorted(partitions, key=lambda one: one.start):
        if partition.size <= 0:
            raise GuestUnusableError(f"Partition {partition.number} of {printable(disk.name)} is empty.")
        if partition.start + partition.size > disk.size:
            raise GuestUnusableError(
                f"Partition {partition.number} of {printable(disk.name)} ends outside the disk."
            )
        if partition.start < end:
            raise GuestUnusableError(
                f"Partition {partition.number} of {printable(disk.name)} overlaps another one, or the table."
            )
        end = partition.start + partition.size


def partition_device(
    disk: Device, partition: Partition, found: Probed, *, path: str, attached: bool = True
) -> Device:
    """Give a partition as a device, with what was found on it."""
    names = {"PARTUUID": partition.uuid, "PARTLABEL": partition.label}
    aliases = (*found.aliases, *(f"{key}={value}" for key, value in names.items() if value))
    return Device(
        name=f"{disk.name}p{partition.number}",
        path=path,
        size=partition.size,
        kind=Kind.PARTITION,
        store=disk.store,
        start=disk.start + partition.start,
        attached=attached,
        content=found.content,
        aliases=aliases,
    )
