"""LVM's commands on guests' volume groups: reading their metadata, and activating them under a private name."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from holdstill.testing.commands.arguments import Arguments, Refused
from holdstill.testing.contents import GuestVolume, PhysicalVolume
from holdstill.testing.kernel import Map

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

SECTOR = 512
LISTED = ("--config", "--devices")


def _lvm(machine: Machine, arguments: list[str]) -> str:
    if arguments[0] != "fullreport":
        raise AssertionError(f"the model does not know «lvm {arguments[0]}»")
    given = Arguments(
        arguments[1:],
        valued=["--driverloaded", "--reportformat", "--units", "--devices", "--configreport", "--options"],
        flags=["--all", "--readonly", "--nosuffix"],
    )
    devices = given["--devices"].split(",")
    return json.dumps(
        {"report": [_report(device, pv) for device in devices if (pv := _physical(machine, device))]}
    )


def _physical(machine: Machine, device: str) -> PhysicalVolume | None:
    content = machine.content(device) if device in machine.devices() else None
    return content if isinstance(content, PhysicalVolume) else None


def _report(device: str, physical: PhysicalVolume) -> dict[str, Any]:
    return {
        "vg": [{"vg_name": physical.group, "vg_extent_size": str(physical.extent // SECTOR)}],
        "pv": [{"pv_name": device, "pv_uuid": physical.uuid, "pe_start": str(physical.begin // SECTOR)}],
        "lv": [_volume(volume, physical) for volume in physical.volumes],
        "seg": [_segment(volume, physical, device) for volume in physical.volumes],
    }


def _volume(volume: GuestVolume, physical: PhysicalVolume) -> dict[str, str]:
    return {
        "lv_name": volume.name,
        "lv_size": str(volume.extents * physical.extent // SECTOR),
        "lv_attr": "-wi-XX----",
        "origin": "",
        "metadata_lv": f"[{volume.metadata[0]}]" if volume.segtype == "thin-pool" else "",
    }


def _segment(volume: GuestVolume, physical: PhysicalVolume, device: str) -> dict[str, str]:
    places = [f"{name}(0)" for name in volume.on] or [f"{device}({volume.first})"]
    raid = volume.segtype == "raid1"
    return {
        "lv_name": volume.name,
        "segtype": volume.segtype,
        "seg_start": "0",
        "seg_size": str(volume.extents * physical.extent // SECTOR),
        "devices": "" if volume.pool else ",".join(places),
        "metadata_devices": ",".join(f"{name}(0)" for name in volume.metadata) if raid else "",
        "stripe_size": "0",
        "region_size": "4096" if raid else "0",
        "chunk_size": "128" if volume.segtype == "thin-pool" else "0",
        "thin_id": "1" if volume.pool else "",
        "pool_lv": volume.pool,
    }


def _vgs(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--reportformat", "--options", *LISTED])
    private = {device: name for name, (_, devices) in machine.kernel.imported.items() for device in devices}
    found = {
        private.get(device, pv.group)
        for device in given["--devices"].split(",")
        if (pv := _physical(machine, device))
    }
    return json.dumps(
        {"report": [{"vg": [{"vg_name": name, "vg_missing_pv_count": "0"} for name in sorted(found)]}]}
    )


def _vgimportclone(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--basevgname", *LISTED])
    name = given["--basevgname"]
    if name in machine.kernel.imported:
        raise Refused(5, f"New VG name {name} exists already")
    physical = _physical(machine, given.words[0])
    assert physical
    machine.kernel.imported[name] = (physical.group, given.words)
    return ""


def _vgchange(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--activate", "--poll", *LISTED], flags=["--ignoremonitoring"])
    [name] = given.words
    if name not in machine.kernel.imported:
        raise Refused(5, f'Volume group "{name}" not found')
    return _activate(machine, name) if given["--activate"] == "y" else _deactivate(machine, name)


def _activate(machine: Machine, name: str) -> str:
    _, [device, *_] = machine.kernel.imported[name]
    physical = _physical(machine, device)
    assert physical
    for volume in physical.volumes:
        start = physical.begin + volume.first * physical.extent
        line = (volume.extents * physical.extent, device, start)
        machine.kernel.maps[f"{name.replace('-', '--')}-{volume.name}"] = Map(
            f"LVM-{name}{volume.name}", (line,)
        )
    return ""


def _deactivate(machine: Machine, name: str) -> str:
    names = [entry for entry in machine.kernel.maps if entry.startswith(f"{name.replace('-', '--')}-")]
    if any(machine.users(f"/dev/mapper/{entry}") for entry in names):
        raise Refused(5, f"Logical volume {name} contains a filesystem in use.")
    for entry in names:
        del machine.kernel.maps[entry]
    del machine.kernel.imported[name]  # the copy's metadata goes with the snapshot
    return ""


def list_imported(machine: Machine, name: str) -> str:
    """Answer «lvs» on an activated group."""
    prefix = f"{name.replace('-', '--')}-"
    records = [
        {
            "lv_name": entry.removeprefix(prefix),
            "lv_path": f"/dev/{name}/{entry.removeprefix(prefix)}",
            "lv_size": str(machine.size(f"/dev/mapper/{entry}")),
            "lv_active": "active",
        }
        for entry in machine.kernel.maps
        if entry.startswith(prefix)
    ]
    return json.dumps({"report": [{"lv": records}]})


def _lvmconfig(machine: Machine, arguments: list[str]) -> str:
    names = [word.removeprefix("devices/") for word in Arguments(arguments, valued=["--typeconfig"]).words]
    return "".join(f"{name}={machine.lvm_settings[name]}\n" for name in names)


COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {
    "lvm": _lvm,
    "lvmconfig": _lvmconfig,
    "vgs": _vgs,
    "vgimportclone": _vgimportclone,
    "vgchange": _vgchange,
}
