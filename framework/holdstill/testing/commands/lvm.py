"""LVM's commands on the host's own volume groups."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from holdstill.testing.commands.arguments import Arguments, Refused
from holdstill.testing.kernel import Volume, map_name

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

EXTENT = 4 << 20
REPORT = ("--select", "--reportformat", "--units", "--options", "--config", "--devices")


def _lvs(machine: Machine, arguments: list[str]) -> str:
    from holdstill.testing.commands.guest_lvm import list_imported

    given = Arguments(arguments, valued=REPORT, flags=["--nosuffix", "--noheadings"])
    if given.get("--select").startswith("origin="):
        return _snapshots_of(machine, given)
    if given.get("--select").startswith("lv_tags="):
        return _tagged(machine, given)
    names = [word.removeprefix("/dev/") for word in given.words]
    if names[0] in machine.kernel.imported:
        return list_imported(machine, names[0])
    if "--select" in given:
        names = [f"{names[0]}/{given['--select'].removeprefix('lv_name=')}"]
    elif names[0] in {volume.pool_of(full) for full, volume in machine.kernel.volumes.items()}:
        return "  1073741824 50.00 10.00\n"
    found = [_record(machine, name, given) for name in names if name in machine.kernel.volumes]
    report = json.dumps({"report": [{"lv": found}]})
    if len(found) < len(names) and "--select" not in given:
        raise Refused(5, "Failed to find logical volume", report)
    return report


def _tagged(machine: Machine, given: Arguments) -> str:
    tag, volumes = given["--select"].removeprefix("lv_tags="), machine.kernel.volumes
    found = [_record(machine, name, given) for name, volume in volumes.items() if tag in volume.tags]
    return json.dumps({"report": [{"lv": found}]})


def _record(machine: Machine, name: str, given: Arguments) -> dict[str, str]:
    volume, (group, lv) = machine.kernel.volumes[name], name.split("/")
    record = {
        "vg_name": group,
        "lv_name": lv,
        "lv_size": str(volume.size),
        "lv_layout": "thin,sparse" if volume.pool else volume.layout,
        "lv_role": "public,snapshot,thicksnapshot" if volume.room else "public",
        "lv_kernel_major": machine.number(f"/dev/{name}").partition(":")[0],
        "lv_kernel_minor": machine.number(f"/dev/{name}").partition(":")[2],
        "pool_lv": volume.pool,
        "vg_free": str(machine.kernel.free[group]),
        "vg_extent_size": str(EXTENT),
        "vg_missing_pv_count": str(machine.kernel.missing.get(group, 0)),
        "lv_tags": ",".join(volume.tags),
        "thin_id": "2" if volume.pool else "",
        "transaction_id": "1" if volume.pool else "",
    }
    return {key: record[key] for key in given["--options"].split(",")}


def _snapshots_of(machine: Machine, given: Arguments) -> str:
    [group], origin = given.words, given["--select"].removeprefix("origin=")
    volumes = machine.kernel.volumes.items()
    return "".join(f"  {name}\n" for name, volume in volumes if volume.origin == f"{group}/{origin}")


def _lvcreate(machine: Machine, arguments: list[str]) -> str:
    valued = ["--size", "--name", "--addtag", "--setactivationskip", "--activate", "--monitor", "--config"]
    given = Arguments(arguments, valued=valued, flags=["--yes", "--snapshot"])
    [origin] = given.words
    group = origin.partition("/")[0]
    name, room = f"{group}/{given['--name']}", int(given.get("--size", "0b").removesuffix("b"))
    if name in machine.kernel.volumes:
        raise Refused(5, f'Logical Volume "{name}" already exists in volume group "{group}"')
    if room > machine.kernel.free[group]:
        raise Refused(5, f'Volume group "{group}" has insufficient free space')
    parent = machine.kernel.volumes[origin]
    machine.kernel.free[group] -= room
    machine.kernel.volumes[name] = Volume(
        parent.size, tuple(given.all("--addtag")), origin, room, pool=parent.pool
    )
    machine.kernel.contents[f"/dev/{name}"] = machine.kernel.contents[f"/dev/{origin}"]
    for asleep in (machine.kernel.suspended, machine.kernel.half_made):
        asleep.discard(map_name(origin))
    return f'  Logical volume "{given["--name"]}" created.\n'


def _lvextend(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--extents", "--config"])
    [name] = given.words
    more, group = int(given["--extents"].removeprefix("+")) * EXTENT, name.partition("/")[0]
    if more > machine.kernel.free[group]:
        raise Refused(5, "Insufficient free space")
    machine.kernel.free[group] -= more
    machine.kernel.volumes[name].room += more
    return ""


def lvremove_arguments(arguments: list[str]) -> Arguments:
    """Give what «lvremove» was told."""
    return Arguments(arguments, valued=["--select", "--config"], flags=["--yes"])


def _lvremove(machine: Machine, arguments: list[str]) -> str:
    """As the real one does, remove what it can of what it was given."""
    given = lvremove_arguments(arguments)
    refused = [why for name in given.words if (why := _removed(machine, name, given.get("--select")))]
    if refused:
        raise Refused(5, "\n".join(refused))
    return ""


def _removed(machine: Machine, name: str, select: str) -> str:
    """Remove a volume, if it is selected; say why it cannot be."""
    if name not in machine.kernel.volumes:
        return f'Failed to find logical volume "{name}"'
    if select and select.removeprefix("lv_tags=") not in machine.kernel.volumes[name].tags:
        return ""
    if machine.users(f"/dev/{name}"):
        return f"Logical volume {name} is used by another device."
    volume = machine.kernel.volumes.pop(name)
    machine.kernel.free[name.partition("/")[0]] += volume.room
    machine.kernel.contents.pop(f"/dev/{name}")
    return ""


COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {
    "lvs": _lvs,
    "lvcreate": _lvcreate,
    "lvextend": _lvextend,
    "lvremove": _lvremove,
}
