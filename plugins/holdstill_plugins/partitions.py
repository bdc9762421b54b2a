"""``partitions``: a loop device for each partition of a disk, where the partition table says it is.

Needs no device-mapper. A disk without a table is passed on as it is.
"""

from __future__ import annotations

from holdstill.plugin import (
    Complaint,
    Device,
    Facts,
    Hold,
    Host,
    Kind,
    NoOptions,
    Search,
    Sources,
    Step,
    Stray,
    hookimpl,
    missing_tools,
)
from holdstill_plugins import loops
from holdstill_plugins.partition_table import Partition, partition_device, read_table, whole_disk
from holdstill_plugins.probe import PHYSICAL
from holdstill_plugins.udev_rule import missing_rule


@hookimpl
def holdstill_check(steps: tuple[Step[NoOptions], ...], host: Host) -> list[Complaint]:
    """Need the tools, and udev to keep its hands off."""
    del steps
    return missing_tools(host, "sfdisk", "partx", "blkid", "losetup") + missing_rule(host)


@hookimpl
def holdstill_open(step: Step[NoOptions], sources: Sources, hold: Hold, host: Host) -> Sources:
    """Put the partitions in the place of each disk."""
    del step
    opened: list[Sources] = []
    for source in sources:
        if isinstance(source, Device) and source.kind is Kind.DISK:
            opened.append(_partitions_of(source, hold, host))
        else:
            opened.append((source,))
    return sum(opened, ())


def _partitions_of(disk: Device, hold: Hold, host: Host) -> Sources:
    table = read_table(host, disk)
    if not table.partitions:
        return (whole_disk(host, disk),)
    return tuple(_attached(disk, partition, hold, host) for partition in table.partitions)


def _attached(disk: Device, partition: Partition, hold: Hold, host: Host) -> Device:
    """Attach one partition, unless it is a physical volume: the host's own LVM is not to see that."""
    if partition.found.content == PHYSICAL:
        return partition_device(disk, partition, path=disk.store, attached=False)
    window = loops.Window(store=disk.store, start=disk.start + partition.start, size=partition.size)
    path = loops.attach(window, f"{disk.name}p{partition.number}", hold, host)
    return partition_device(disk, partition, path=path)


@hookimpl
def holdstill_places(facts: Facts, host: Host) -> list[str]:
    """Tell what must be free."""
    return loops.promised(facts, host)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Detach a partition's loop device."""
    loops.detach(facts, host)


@hookimpl
def holdstill_strays(search: Search, host: Host) -> list[Stray]:
    """Find loop devices on what is ours."""
    return loops.strays(search, host)
