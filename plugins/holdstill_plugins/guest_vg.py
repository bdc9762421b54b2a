"""``guest-vg``: LVM's own activation of the volume group inside a guest's disk, under a private name.

For what ``guest-lv`` cannot map: cached or compressed volumes, RAID other than mirrors. ``vgimportclone`` gives
the group and its physical volumes new names and UUIDs on the snapshot, so that neither the host's groups nor a
clone's clash with it.
"""

from __future__ import annotations

import json
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
    NotPlannableError,
    Search,
    Sources,
    Step,
    Stray,
    UnavailableError,
    hookimpl,
    missing_tools,
    printable,
)
from holdstill_plugins import maps
from holdstill_plugins.guest_metadata import SECTOR
from holdstill_plugins.guest_volumes import Volume
from holdstill_plugins.lvm_filter import missing_filter
from holdstill_plugins.lvm_names import safe_name
from holdstill_plugins.probe import PHYSICAL, probe
from holdstill_plugins.run_names import RUN
from holdstill_plugins.udev_rule import missing_rule

FILTER = 'devices{global_filter=["a|.*|"] use_devicesfile=0} backup{backup=0 archive=0}'
"--devices overrides the host's devices file, but not a filter in its lvm.conf."
OURS = re.compile(rf"hs_{RUN}_(?:[^-]|--)+(?=-)")
"The group in the name of a map of one of its volumes: dashes doubled."


@hookimpl
def holdstill_check(steps: tuple[Step[NoOptions], ...], host: Host) -> list[Complaint]:
    """Need LVM's tools, a kernel with device-mapper, and a host that keeps its hands off the guests' groups."""
    missing = missing_tools(host, "vgimportclone", "vgchange", "vgs", "lvs", "dmsetup", "blkid")
    if not missing and host.ask("dmsetup", "version", ok=(0, 1)).status:
        missing.append(
            Complaint("The kernel has no device-mapper, which guest-vg needs; use 'guest-lv' instead.")
        )
    disks = [disk for step in steps for disk in step.disks]
    images = any(not disk.path.startswith("/dev/") for disk in disks)
    return missing + missing_rule(host) + missing_filter(host, disks, images=images)


@hookimpl
def holdstill_open(step: Step[NoOptions], sources: Sources, hold: Hold, host: Host) -> Sources:
    """Put the activated volumes in the place of the physical volumes."""
    physical = [source for source in sources if isinstance(source, Device) and source.content == PHYSICAL]
    if not physical:
        return sources
    prefix = f"holdstill-{step.run.id}-{step.guest}"
    writable = [
        _writable(device, f"{prefix}-pv{number}", hold, host) for number, device in enumerate(physical)
    ]
    if not all(host.look(path) for path in writable):
        raise NotPlannableError("which volumes are on the physical volumes is known once they are mapped")
    group = f"hs_{step.run.id}_{safe_name(step.guest)}"
    names = _original_names(writable, host)
    _activate(group, writable, hold, host)
    rest = tuple(source for source in sources if source not in physical)
    return (*rest, *(_volume(entry, names, host) for entry in _volumes(group, writable, host)))


def _writable(device: Device, name: str, hold: Hold, host: Host) -> str:
    """Give a path through which the new names can be written onto the snapshot.

    A map of our own: our udev rule knows it, and LVM takes no logical volume of the host's for a physical one.
    """
    if device.attached and device.kind is not Kind.DISK:
        return device.path
    base = maps.ground(device.store, hold, host)
    table = f"0 {device.size // SECTOR} linear {base} {device.start // SECTOR}"
    return maps.create(name, device.name, table, hold, host)


def _activate(group: str, paths: list[str], hold: Hold, host: Host) -> None:
    listed = ",".join(paths)
    host_lvm = ("--config", FILTER, "--devices", listed)
    hold.promise(
        f"volume group {group}",
        by_hand=["vgchange", "--activate", "n", "--config", FILTER, "--devices", listed, group],
        group=group,
        devices=listed,
    )
    host.run("vgimportclone", *host_lvm, "--basevgname", group, *paths)
    host.run("vgchange", *host_lvm, "--activate", "y", "--poll", "n", "--ignoremonitoring", group)


def _original_names(paths: list[str], host: Host) -> str:
    """Give the name that the guest itself knows its volume group by."""
    listed = ("--config", FILTER, "--devices", ",".join(paths))
    found = _report(host, "vgs", "vg", "--options", "vg_name,vg_missing_pv_count", *listed)
    if missing := [entry["vg_name"] for entry in found if int(entry["vg_missing_pv_count"])]:
        raise GuestUnusableError(
            f"The volume group {printable(missing[0])} lies on more disks than were given: name all of the guest's."
        )
    names = {entry["vg_name"] for entry in found}
    if len(names) != 1:
        raise GuestUnusableError(
            f"guest-vg opens one volume group for each guest; there are {len(names)} ({', '.join(sorted(names))})."
        )
    return str(names.pop())


def _volumes(group: str, paths: list[str], host: Host) -> list[dict[str, str]]:
    fields = "lv_name,lv_path,lv_size,lv_active"
    listed = ("--config", FILTER, "--devices", ",".join(paths))
    volumes = _report(host, "lvs", "lv", "--units", "b", "--nosuffix", "--options", fields, *listed, group)
    return [entry for entry in volumes if entry["lv_path"] and entry["lv_active"] == "active"]


def _report(host: Host, command: str, kind: str, *arguments: str) -> list[dict[str, str]]:
    answer = host.ask(command, "--reportformat", "json", *arguments)
    return [entry for report in json.loads(answer.out)["report"] for entry in report.get(kind, [])]


def _volume(entry: dict[str, str], group: str, host: Host) -> Device:
    found = probe(host, entry["lv_path"])
    named = Volume(group=group, name=entry["lv_name"])
    return Device(
        name=named.title,
        path=entry["lv_path"],
        size=int(entry["lv_size"]),
        kind=Kind.VOLUME,
        store=entry["lv_path"],
        content=found.content,
        aliases=(*found.aliases, *named.aliases),
    )


@hookimpl
def holdstill_places(facts: Facts, host: Host) -> list[str]:
    """Tell what must be free: the devices that the group is on, or what was made beneath it."""
    return str(facts["devices"]).split(",") if "group" in facts else maps.promised(facts, host)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Deactivate the group, if any map of it is there, or what was made beneath it."""
    if "group" not in facts:
        maps.undo(facts, host)
        return
    group = str(facts["group"])
    if not _maps(group, host):
        return
    host.run(
        "vgchange",
        "--config",
        FILTER,
        "--devices",
        str(facts["devices"]),
        "--activate",
        "n",
        group,
        ok=(0, 5),
    )
    if left := _maps(group, host):
        raise UnavailableError(f"/dev/mapper/{left[0]} is still in use")


def _maps(group: str, host: Host) -> list[str]:
    """Give the maps of a group by name: it bears the run's id, so they can be nobody else's."""
    answer = host.ask("dmsetup", "info", "--columns", "--noheadings", "--options", "name")
    mapped = group.replace("-", "--") + "-"
    return [name for name in answer.out.split() if name.startswith(mapped)]


@hookimpl
def holdstill_strays(search: Search, host: Host) -> list[Stray]:
    """Find groups under private names of ours by the maps of their volumes, and our maps beneath them."""
    if not maps.has_device_mapper(host):
        return []
    answer = host.ask("dmsetup", "info", "--columns", "--noheadings", "--options", "name")
    groups = {
        found[0].replace("--", "-"): found[1] for name in answer.out.split() if (found := OURS.match(name))
    }
    return [
        Stray(
            what=f"volume group {group}",
            by_hand=shlex.join(["vgchange", "--activate", "n", "--config", FILTER, group]),
            layer=Layer.VOLUME,
            run=run,
        )
        for group, run in groups.items()
        if search.is_stray(run)
    ] + maps.strays(search, host)
