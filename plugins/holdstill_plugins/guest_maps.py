"""Device-mapper tables for a guest's volumes, straight on its snapshots; nothing is activated by LVM.

Tables as the kernel's documentation has them (linear, striped, dm-raid, thin-provisioning), in sectors of 512
bytes. What LVM keeps in hidden volumes (a RAID leg, a pool's data) becomes a map of its own beneath.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count

import msgspec

from holdstill.plugin import Device
from holdstill_plugins.guest_metadata import SECTOR
from holdstill_plugins.guest_volumes import Area, Group, Segment, Volume

UNTRUSTED = "the guest's metadata are not to be trusted."
RAID = "5 0 region_size {region} max_recovery_rate 1"
"""The kernel reads the legs' superblocks, finds out which leg is current, and never reads a stale one. It would
also bring that up to date, and fill the snapshot: it may do so by 1 KiB a second, until it is told not to at all.
"""
NO_RECOVERY = "frozen"
POOL = "2 ignore_discard error_if_no_space"
"A pool without room would let a read-only mount wait for a minute when it replays its journal."


class Map(msgspec.Struct, frozen=True, kw_only=True):
    """A map to be made."""

    name: str
    title: str
    table: str
    "Its lines, separated by commas, as ``dmsetup create --concise`` has them."
    message: str = ""
    "What the map is told once it is there."


class Maps:
    """The maps of one guest's volumes, each after those that it stands on; what volumes share comes once."""

    def __init__(self, prefix: str, where: Mapping[str, str]) -> None:
        self._names = (f"{prefix}-{number}" for number in count())
        self._where = where
        "The block device of each store."
        self._made: dict[tuple[str, str], str] = {}
        self._open: list[tuple[str, str]] = []
        self.all: list[Map] = []

    def add(self, group: Group, volume: Volume) -> str:
        """Plan what ``volume`` needs; give its path.

        Raises GuestUnusableError for what cannot be mapped, or would stand on itself.
        """
        key = (volume.group, volume.name)
        if key in self._open:
            volume.refuse(f"stands on itself: {UNTRUSTED}")
        if key not in self._made:
            self._open.append(key)
            table = _Table(self, group, volume).lines()
            self._open.pop()
            self._made[key] = self._planned(volume, table)
        return self._made[key]

    def place(self, area: Area, volume: Volume) -> str:
        """Give the device and first sector of an area, as most targets want it."""
        if not isinstance(area.on, Device):
            volume.refuse(f"lies on the volume {area.on}, where a disk is expected: {UNTRUSTED}")
        return f"{self._where[area.on.store]} {(area.on.start + area.start) // SECTOR}"

    def _planned(self, volume: Volume, table: str) -> str:
        message = NO_RECOVERY if volume.kind == "raid1" else ""
        self.all.append(Map(name=next(self._names), title=volume.title, table=table, message=message))
        return f"/dev/mapper/{self.all[-1].name}"


class _Table:
    """Writes the table of one volume."""

    def __init__(self, maps: Maps, group: Group, volume: Volume) -> None:
        self._maps, self._group, self._volume = maps, group, volume

    def lines(self) -> str:
        lines, at = [], 0
        for segment in self._volume.segments:
            lines.append(f"{at} {segment.size // SECTOR} {self._target(segment)}")
            at += segment.size // SECTOR
        return ",".join(lines)

    def _target(self, segment: Segment) -> str:
        targets = {
            "linear": self._striped,
            "striped": self._striped,
            "raid1": self._raid,
            "thin-pool": self._pool,
            "thin": self._thin,
        }
        if segment.kind not in targets:
            self._volume.refuse(f"is {segment.kind}, not plain; name 'guest-vg' instead of 'guest-lv'.")
        if segment.kind not in {"linear", "striped"} and len(self._volume.segments) > 1:
            self._volume.refuse(f"is {segment.kind} in part only: {UNTRUSTED}")
        return targets[segment.kind](segment)

    def _striped(self, segment: Segment) -> str:
        places = " ".join(self._maps.place(area, self._volume) for area in segment.areas)
        stripes = len(segment.areas)
        if stripes == 1:
            return f"linear {places}"
        if not stripes or not segment.stripe or segment.size % (stripes * segment.stripe):
            self._volume.refuse(f"has stripes that do not fit: {UNTRUSTED}")
        return f"striped {stripes} {segment.stripe // SECTOR} {places}"

    def _raid(self, segment: Segment) -> str:
        if len(segment.legs_metadata) != len(segment.areas):
            self._volume.refuse("has RAID legs without superblocks; name 'guest-vg' instead of 'guest-lv'.")
        pairs = zip(segment.legs_metadata, segment.areas, strict=True)
        legs = [self._leg(segment, metadata, data) for metadata, data in pairs]
        if all(leg == "- -" for leg in legs):
            self._volume.refuse("has lost all of its RAID legs.")
        return f"raid raid1 {RAID.format(region=segment.region // SECTOR)} {len(legs)} {' '.join(legs)}"

    def _leg(self, segment: Segment, metadata: Area, data: Area) -> str:
        """Give a leg's two maps; none for one that the guest's own LVM gave up, and replaced by errors."""
        parts = [self._part(metadata), self._part(data)]
        if any(part.kind == "error" for part in parts):
            return "- -"
        if parts[1].size != segment.size:
            self._volume.refuse(f"is not as long as its leg {parts[1].name}: {UNTRUSTED}")
        return " ".join(self._maps.add(self._group, part) for part in parts)

    def _pool(self, segment: Segment) -> str:
        data = self._part(*segment.areas)
        if data.size != segment.size or not segment.chunk:
            self._volume.refuse(f"is not as long as its part {data.name}: {UNTRUSTED}")
        parts = [self._part(Area(self._volume.metadata)), data]
        paths = " ".join(self._maps.add(self._group, part) for part in parts)
        return f"thin-pool {paths} {segment.chunk // SECTOR} 0 {POOL}"

    def _thin(self, segment: Segment) -> str:
        pool = self._part(Area(segment.pool))
        if pool.kind != "thin-pool":
            self._volume.refuse(f"is thin, and {pool.name} is no pool: {UNTRUSTED}")
        origin = self._group.get(self._volume.origin)
        if self._volume.origin and (not origin or origin.segments[0].pool != pool.name):
            self._volume.refuse("has an origin outside its pool; name 'guest-vg' instead of 'guest-lv'.")
        return f"thin {self._maps.add(self._group, pool)} {segment.thin_id}"

    def _part(self, *areas: Area) -> Volume:
        """Give the hidden volume that an area is the whole of."""
        on = areas[0].on if len(areas) == 1 else ""
        if not isinstance(on, str) or on not in self._group:
            self._volume.refuse(f"lacks a part that its metadata name: {UNTRUSTED}")
        return self._group[on]
