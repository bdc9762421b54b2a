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
from holdstill_plugins.guest_volumes import Area, Group, Segment, Volume, check_apart

SECTOR = 512
REFUSED = 5
"LVM's exit code for most of what it does not like; what it says of it goes into our complaint."
SETTINGS = str(Path(__file__).with_name("lvm_settings"))
REPORTS = {
    "vg": "vg_name,vg_extent_size",
    "pv": "pv_name,pe_start",
    "lv": "lv_name,lv_size,lv_attr,origin,metadata_lv",
    "pvseg": "pv_uuid",
    "seg": "lv_name,segtype,seg_start,seg_size,devices,metadata_devices,stripe_size,region_size,chunk_size,"
    "thin_id,pool_lv",
}
AREA = re.compile(r"([^,()]+)\((\d+)\)")
AREAS = re.compile(rf"({AREA.pattern}(,{AREA.pattern})*)?")


def read_groups(host: Host, physical: tuple[Device, ...], paths: list[str]) -> tuple[Group, ...]:
    """Give all volume groups on a guest's physical volumes, which LVM can read at ``paths``.

    Raises GuestUnusableError if a physical volume is missing, or a segment lies outside those given.
    """
    reports = [
        word for kind, fields in REPORTS.items() for word in ("--configreport", kind, "--options", fields)
    ]
    answer = host.ask(
        *("lvm", "fullreport", "--all", "--readonly", "--driverloaded", "n", "--reportformat", "json"),
        *("--units", "s", "--nosuffix", "--devices", ",".join(paths), *reports),
        ok=(0, REFUSED),
        env={"LVM_SYSTEM_DIR": SETTINGS},
    )
    numbers = {_number(host, path): device for path, device in zip(paths, physical, strict=True)}
    try:
        entries = json.loads(answer.out)["report"]
        found = tuple(_Reader(host, entry, numbers).group() for entry in entries if entry.get("vg"))
        seen = {_number(host, pv["pv_name"]) for entry in entries for pv in entry.get("pv", ())}
    except (ValueError, LookupError, TypeError) as error:
        raise _unreadable(physical, answer, f"its report cannot be read ({error})") from None
    if not found:
        raise _unreadable(physical, answer, "there is no volume group")
    if len({name for group in found for name in _names(group)}) < sum(map(len, found)):
        raise _unreadable(physical, answer, "several volume groups have one name")
    if unseen := tuple(device for number, device in numbers.items() if number not in seen):
        raise _unreadable(unseen, answer, "it does not show it; the metadata may be damaged, or of a clone")
    return found


def _names(group: Group) -> list[str]:
    return [volume.title for volume in group.values()]


def _unreadable(physical: tuple[Device, ...], answer: Answer, why: str) -> GuestUnusableError:
    said = printable(answer.err.strip())
    names = ", ".join(device.name for device in physical)
    return GuestUnusableError(
        f"LVM cannot read what is on {names}: {why}{'; LVM says: ' if said else ''}{said}."
    )


class _Reader:
    """Reads one volume group."""

    def __init__(self, host: Host, report: dict[str, Any], numbers: dict[str, Device]) -> None:
        self._report = report
        self._name = str(report["vg"][0]["vg_name"])
        self._extent = _bytes(report["vg"][0]["vg_extent_size"])
        self._devices = {
            entry["pv_name"]: (numbers.get(_number(host, entry["pv_name"])), _bytes(entry["pe_start"]))
            for entry in report["pv"]
        }

    def group(self) -> Group:
        segments: dict[str, list[dict[str, str]]] = {}
        for entry in sorted(self._report["seg"], key=lambda entry: int(entry["seg_start"])):
            segments.setdefault(entry["lv_name"], []).append(entry)
        volumes = [self._volume(entry, segments[entry["lv_name"]]) for entry in self._report["lv"]]
        check_apart(volumes)
        return {volume.name: volume for volume in volumes}

    def _volume(self, entry: dict[str, str], segments: list[dict[str, str]]) -> Volume:
        name = entry["lv_name"]
        volume = Volume(
            group=self._name,
            name=_plain(name),
            size=_bytes(entry["lv_size"]),
            hidden=name.startswith("["),
            role=entry["lv_attr"][:1],
            origin=_plain(entry["origin"]),
            metadata=_plain(entry["metadata_lv"]),
        )
        found = tuple(self._segment(volume, segment) for segment in segments)
        at = 0
        for segment, read in zip(segments, found, strict=True):
            if _bytes(segment["seg_start"]) != at:
                volume.refuse("has gaps, or pieces that overlap: the guest's metadata are not to be trusted.")
            at += read.size
        if at != volume.size:
            volume.refuse("is not as long as its pieces: the guest's metadata are not to be trusted.")
        return msgspec.structs.replace(volume, segments=found)

    def _segment(self, volume: Volume, entry: dict[str, str]) -> Segment:
        size = _bytes(entry["seg_size"])
        return Segment(
            kind=entry["segtype"],
            size=size,
            areas=self._areas(volume, entry["devices"], size, striped=entry["segtype"] == "striped"),
            legs_metadata=self._areas(volume, entry["metadata_devices"], 0),
            stripe=_bytes(entry["stripe_size"]),
            region=_bytes(entry["region_size"]),
            chunk=_bytes(entry["chunk_size"]),
            pool=_plain(entry["pool_lv"]),
            thin_id=int(entry["thin_id"] or 0),
        )

    def _areas(self, volume: Volume, written: str, size: int, *, striped: bool = False) -> tuple[Area, ...]:
        if not AREAS.fullmatch(written):
            volume.refuse(f"lies on {printable(written)}, which cannot be read.")
        found = AREA.findall(written)
        each = size // len(found) if striped and found else size
        return tuple(self._area(volume, on, int(extent), each) for on, extent in found)

    def _area(self, volume: Volume, on: str, extent: int, size: int) -> Area:
        if on not in self._devices and extent == 0 and not on.startswith(("/", "[")):
            return Area(on)
        device, first = self._devices.get(on, (None, 0))
        if device is None:
            volume.refuse(
                f"lies on {printable(on)}, which is none of the guest's disks that were given: name them all, or "
                "the guest's metadata are not to be trusted."
            )
        area = Area(device, first + extent * self._extent, size)
        if area.start + size > device.size:
            volume.refuse(f"reaches past the end of {device.name}.")
        return area


def _bytes(sectors: str) -> int:
    return int(sectors or 0) * SECTOR


def _plain(name: str) -> str:
    """Hidden volumes are written in brackets."""
    return name.strip("[]")


def _number(host: Host, path: str) -> str:
    """LVM may name a device by another of its names than we did: its number is what counts."""
    node = host.look(path) if path.startswith("/") else None
    return node.number if node else ""
