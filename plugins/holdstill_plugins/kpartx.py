"""``kpartx``: a device-mapper map for each partition of a disk, made by kpartx(8)."""

from __future__ import annotations

import re
import shlex

from holdstill.plugin import (
    Complaint,
    Device,
    Facts,
    GuestUnusableError,
    Hold,
    Host,
    Kind,
    Layer,
    NoOptions,
    Search,
    Sources,
    Step,
    Stray,
    UnavailableError,
    hookimpl,
    missing_tools,
    printable,
)
from holdstill_plugins import loops, maps
from holdstill_plugins.lvm_filter import missing_filter
from holdstill_plugins.nbd_servers import is_anothers, serves
from holdstill_plugins.partition_table import Partition, Table, partition_device, read_table, whole_disk
from holdstill_plugins.run_names import run_behind, run_in
from holdstill_plugins.udev_rule import missing_rule

LISTED = re.compile(r"^(?P<map>\S*?(?P<number>\d+)) : \d+ (?P<sectors>\d+) ", re.MULTILINE)
"""A line of «kpartx -l»: the map's name, which ends in the partition's number, and its size in sectors of 512 bytes.
(What follows is its start: for logical partitions it is told from the extended one's beginning, so it is not used.)
"""


@hookimpl
def holdstill_check(steps: tuple[Step[NoOptions], ...], host: Host) -> list[Complaint]:
    """Need the tools, a kernel with device-mapper, and a host that keeps its hands off the maps."""
    missing = missing_tools(host, "kpartx", "dmsetup", "sfdisk", "partx", "blkid")
    if not missing and host.ask("dmsetup", "version", ok=(0, 1)).status:
        missing.append(
            Complaint("The kernel has no device-mapper, which kpartx needs; use 'partitions' instead.")
        )
    disks = [disk for step in steps for disk in step.disks]
    return missing + missing_rule(host) + missing_filter(host, disks)


@hookimpl
def holdstill_open(step: Step[NoOptions], sources: Sources, hold: Hold, host: Host) -> Sources:
    """Put the partitions in the place of each disk that has a table."""
    del step
    opened: Sources = ()
    for source in sources:
        if isinstance(source, Device) and source.kind is Kind.DISK:
            opened += _opened(source, hold, host)
        else:
            opened += (source,)
    return opened


def _opened(disk: Device, hold: Hold, host: Host) -> tuple[Device, ...]:
    table = read_table(host, disk)
    if not table.own:
        raise GuestUnusableError(
            f"The partition table of {printable(disk.name)} counts in sectors of {table.sector} bytes, the device "
            "in others, and kpartx cannot be told; name 'partitions' instead of 'kpartx'."
        )
    return _mapped(disk, table, hold, host) if table.partitions else (whole_disk(host, disk),)


def _mapped(disk: Device, table: Table, hold: Hold, host: Host) -> tuple[Device, ...]:
    names = _list(disk.path, host)
    hold.promise(
        f"partition maps of {disk.name}",
        by_hand=["kpartx", "-d", disk.path],
        device=disk.path,
        store=disk.store,
        maps=[found["map"] for found in names.values()],
        served=serves(disk.path, host),
    )
    host.run("kpartx", "-a", "-s", disk.path)
    return tuple(_partition(disk, partition, names) for partition in table.partitions)


def _partition(disk: Device, partition: Partition, names: dict[int, re.Match[str]]) -> Device:
    listed = names.get(partition.number)
    if listed is None or int(listed["sectors"]) * 512 != partition.size:
        raise UnavailableError(
            f"kpartx and sfdisk do not agree on partition {partition.number} of {disk.path}."
        )
    return partition_device(disk, partition, path=f"/dev/mapper/{listed['map']}")


def _list(device: str, host: Host) -> dict[int, re.Match[str]]:
    """What kpartx would map, by the partitions' numbers."""
    return {int(found["number"]): found for found in LISTED.finditer(host.ask("kpartx", "-l", device).out)}


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Remove the maps of a disk. kpartx goes on after a map that is in use, so look afterwards."""
    for device in _devices(facts, host):
        host.run("kpartx", "-d", "-s", device, ok=(0, 1))
        for name in _names(facts, device, host):
            if host.look(f"/dev/mapper/{name}"):
                raise UnavailableError(f"/dev/mapper/{name} is still in use")


def _names(facts: Facts, device: str, host: Host) -> list[str]:
    """The maps to look for: as they were promised, for a table that cannot be read any more; or of a loop device."""
    maps = facts["maps"]
    if device == facts["device"] and isinstance(maps, list):
        return maps
    return [found["map"] for found in _list(device, host).values()]


def _devices(facts: Facts, host: Host) -> list[str]:
    """Where the disk is now: a snapshot's name bears the run's id, a loop or NBD device's number does not."""
    device, store = str(facts["device"]), str(facts["store"])
    if device != store:
        return list(loops.on(store, host))
    return [device] if host.look(device) and not is_anothers(device, facts, host) else []


@hookimpl
def holdstill_strays(search: Search, host: Host) -> list[Stray]:
    """Find maps of partitions, by kpartx's UUID, of a snapshot of ours, or of a loop or NBD device that is ours."""
    if not maps.has_device_mapper(host):
        return []
    fields = ("--columns", "--noheadings", "--separator", " ", "--options", "name,uuid")
    rows = [line.split() for line in host.ask("dmsetup", "info", *fields).out.splitlines()]
    names = [row[0] for row in rows if row[1:] and row[1].startswith("part")]
    runs = loops.runs(host)
    return [
        Stray(
            what=f"partition map {name}",
            by_hand=shlex.join(["dmsetup", "remove", name]),
            layer=Layer.PARTITION,
            run=run,
        )
        for name in names
        if search.is_stray(run := run_in(name) or _run_of_disk(name, runs, host))
    ]


def _run_of_disk(name: str, runs: dict[str, str], host: Host) -> str:
    """Give the run whose the disk ``/dev/loop3`` of a map ``loop3p1`` is."""
    disk = f"/dev/{name.rpartition('p')[0]}"
    return runs.get(disk) or run_behind(disk, host)
