"""The volumes on a guest's physical volumes, as LVM itself reads their metadata.

LVM is given the guest's devices and no others, reads only, and needs no device-mapper. It exits with 0
whatever it finds, so what it says is held against what it was given.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import msgspec

from holdstill.plugin import Answer, Device, GuestUnusableError, Host, printable

SECTOR = 512
SETTINGS = str(Path(__file__).with_name("lvm_settings"))
REPORTS = {
    "vg": "vg_name,vg_uuid,vg_extent_size",
    "pv": "pv_name,pv_uuid,pe_start",
    "lv": "lv_name",
    "pvseg": "pv_uuid",
    "seg": "lv_name,segtype,seg_start,seg_size,devices",
}
AREA = re.compile(r"^(?P<device>.+)\((?P<extent>\d+)\)$")


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a volume's sectors on one device of the guest. All numbers are in bytes."""

    device: Device
    start: int
    "Where it begins on the device."
    size: int


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume inside a guest's disk."""

    group: str
    name: str
    segments: tuple[Segment, ...] = ()
    "In order; empty if it is not plainly linear."
    layout: str = "linear"
    "What LVM calls its segments where they are not linear: ``raid1``, ``thin``, …"

    @property
    def title(self) -> str:
        """``vg/lv``."""
        return f"{self.group}/{self.name}"

    @property
    def aliases(self) -> tuple[str, ...]:
        """What the guest's fstab may call it; dashes in names are doubled by device-mapper."""
        mapped = f"{self.group.replace('-', '--')}-{self.name.replace('-', '--')}"
        return f"/dev/{self.title}", f"/dev/mapper/{mapped}"


def read_volumes(host: Host, physical: tuple[Device, ...], paths: list[str]) -> tuple[Volume, ...]:
    """Give all volumes on a guest's physical volumes, which LVM can read at ``paths``.

    Raises GuestUnusableError if a physical volume is missing, or a segment lies outside those given.
    """
    reports = [
        word for kind, fields in REPORTS.items() for word in ("--configreport", kind, "--options", fields)
    ]
    answer = host.ask(
        *("lvm", "fullreport", "--readonly", "--driverloaded", "n", "--reportformat", "json"),
        *("--units", "s", "--nosuffix", "--devices", ",".join(paths), *reports),
        env={"LVM_SYSTEM_DIR": SETTINGS},
    )
    numbers = {_number(host, path): device for path, device in zip(paths, physical, strict=True)}
    try:
        groups = json.loads(answer.out)["report"]
        found = tuple(volume for group in groups for volume in _volumes_of(host, group, numbers))
    except (ValueError, LookupError, TypeError) as error:
        raise _unreadable(physical, answer, f"its report cannot be read ({error})") from None
    if not any(group.get("vg") for group in groups):
        raise _unreadable(physical, answer, "there is no volume group")
    return found


def _unreadable(physical: tuple[Device, ...], answer: Answer, why: str) -> GuestUnusableError:
    said = printable(answer.err.strip())
    names = ", ".join(device.name for device in physical)
    return GuestUnusableError(
        f"LVM cannot read what is on {names}: {why}{'; LVM says: ' if said else ''}{said}."
    )


def _volumes_of(host: Host, group: dict[str, Any], numbers: dict[str, Device]) -> list[Volume]:
    if not group.get("vg"):
        return []
    name = str(group["vg"][0]["vg_name"])
    reader = _Reader(host, name, group, numbers)
    segments: dict[str, list[dict[str, str]]] = {}
    for segment in group["seg"]:
        if not segment["lv_name"].startswith("["):
            segments.setdefault(segment["lv_name"], []).append(segment)
    return [reader.volume(lv, entries) for lv, entries in segments.items()]


class _Reader:
    """Reads the segments of one volume group."""

    def __init__(self, host: Host, group: str, report: dict[str, Any], numbers: dict[str, Device]) -> None:
        self._group = group
        self._extent = int(report["vg"][0]["vg_extent_size"]) * SECTOR
        self._devices = {
            entry["pv_name"]: (numbers.get(_number(host, entry["pv_name"])), int(entry["pe_start"]) * SECTOR)
            for entry in report["pv"]
        }

    def volume(self, name: str, entries: list[dict[str, str]]) -> Volume:
        odd = [entry["segtype"] for entry in entries if entry["segtype"] != "linear"]
        if odd:
            return Volume(group=self._group, name=name, layout=odd[0])
        ordered = sorted(entries, key=lambda entry: int(entry["seg_start"]))
        return Volume(
            group=self._group, name=name, segments=tuple(self._segment(name, entry) for entry in ordered)
        )

    def _segment(self, volume: str, entry: dict[str, str]) -> Segment:
        area, size = AREA.match(entry["devices"]), int(entry["seg_size"]) * SECTOR
        device, first = self._devices.get(area["device"], (None, 0)) if area else (None, 0)
        if device is None or area is None:
            raise GuestUnusableError(
                f"The volume {self._group}/{volume} lies on {printable(entry['devices'])}, which is none of the "
                "guest's disks that were given: name them all, or the guest's metadata is not to be trusted."
            )
        start = first + int(area["extent"]) * self._extent
        if start + size > device.size:
            raise GuestUnusableError(
                f"The volume {self._group}/{volume} reaches past the end of {device.name}."
            )
        return Segment(device=device, start=start, size=size)


def _number(host: Host, path: str) -> str:
    """LVM may name a device by another of its names than we did: its number is what counts."""
    node = host.look(path) if path.startswith("/") else None
    return node.number if node else ""
