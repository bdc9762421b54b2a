"""What there is of volumes inside a guest's disks, as its metadata say. All numbers are in bytes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import NoReturn

import msgspec

from holdstill.plugin import Device, GuestUnusableError, printable


class Area(msgspec.Struct, frozen=True):
    """Bytes on a device of the guest, or, without a device, the whole of a hidden volume of the group."""

    on: Device | str
    start: int = 0
    "Where they begin, from the device's own beginning."
    size: int = 0


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a volume's bytes that lie in one way. All numbers are in bytes."""

    kind: str
    "What LVM calls it: ``linear``, ``striped``, ``raid1``, ``thin``, ``thin-pool``, …"
    size: int
    areas: tuple[Area, ...] = ()
    "What they lie on: one for each stripe or leg."
    legs_metadata: tuple[Area, ...] = ()
    "Of RAID: where each leg's superblock is."
    stripe: int = 0
    region: int = 0
    chunk: int = 0
    pool: str = ""
    "Of a thin volume: its pool, "
    thin_id: int = 0
    "and its number there."


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume inside a guest's disk."""

    group: str
    name: str
    size: int = 0
    segments: tuple[Segment, ...] = ()
    "In order, without gaps."
    hidden: bool = False
    "Whether it is only a part of others."
    role: str = "-"
    "The first of LVM's attributes: ``s`` for a snapshot, ``O`` for an origin that a snapshot is merged into, …"
    origin: str = ""
    metadata: str = ""
    "Of a pool: the hidden volume with its metadata."

    @property
    def title(self) -> str:
        """``vg/lv``."""
        return f"{self.group}/{self.name}"

    @property
    def kind(self) -> str:
        """How it lies, in a word: what LVM calls its first segment that is not linear."""
        return next((entry.kind for entry in self.segments if entry.kind != "linear"), "linear")

    @property
    def aliases(self) -> tuple[str, ...]:
        """What the guest's fstab may call it; dashes in names are doubled by device-mapper."""
        mapped = f"{self.group.replace('-', '--')}-{self.name.replace('-', '--')}"
        return f"/dev/{self.title}", f"/dev/mapper/{mapped}"

    def refuse(self, why: str) -> NoReturn:
        """Raise GuestUnusableError; the sentence begins with the volume."""
        raise GuestUnusableError(f"The volume {printable(self.title)} {why}")


Group = dict[str, Volume]
"All volumes of a volume group by name, the hidden ones too."


def _pieces(volumes: Iterable[Volume]) -> list[tuple[str, int, int, str]]:
    """Give the store, start and size of all that volumes lie on, and the volume's title; in order."""
    return sorted(
        (area.on.store, area.on.start + area.start, area.size, volume.title)
        for volume in volumes
        for segment in volume.segments
        for area in segment.areas
        if isinstance(area.on, Device)
    )


def stores_of(group: Group) -> list[str]:
    """Give the stores on which a group's volumes lie."""
    return [store for store, *_ in _pieces(group.values())]


def check_apart(volumes: Iterable[Volume]) -> None:
    """Raise GuestUnusableError if two volumes, or two pieces of one, lie on the same bytes."""
    for (store, start, size, one), (other_store, other_start, _, other) in pairwise(_pieces(volumes)):
        if store == other_store and other_start < start + size:
            raise GuestUnusableError(
                f"The volumes {printable(one)} and {printable(other)} lie on the same bytes: the guest's metadata "
                "are not to be trusted."
            )
