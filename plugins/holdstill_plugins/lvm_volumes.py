"""The host's own logical volumes, as lvs(8) reports them."""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec

from holdstill.plugin import Host, Size
from holdstill_plugins.lvm_filter import fence

FIELDS = (
    "vg_name,lv_name,lv_size,lv_layout,lv_role,lv_kernel_major,lv_kernel_minor,pool_lv,vg_free,vg_extent_size,"
    "vg_missing_pv_count,lv_tags,thin_id,transaction_id"
)
REPORT = ("--reportformat", "json", "--units", "b", "--nosuffix", "--options", FIELDS)
NOT_FOUND = 5


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A logical volume. Sizes are in bytes."""

    vg_name: str
    lv_name: str
    lv_size: int
    lv_layout: str
    "``linear``, ``thin,sparse``, ``raid,raid1``, …"
    lv_role: str
    "``public``, ``public,snapshot,thicksnapshot``, …"
    lv_kernel_major: int
    lv_kernel_minor: int
    pool_lv: str
    "The pool of a thin volume, or of a cached one."
    vg_free: int
    vg_extent_size: int
    vg_missing_pv_count: int
    "How many of the group's devices have failed or been taken away."
    lv_tags: str
    thin_id: str
    "Number of a thin volume in its pool."
    transaction_id: str
    "Of the pool, before a thin volume was made."
    look_away: str
    "What LVM's commands on it are told with ``--config``: not to look at what is a guest's."

    @property
    def name(self) -> str:
        """``VG/LV``, as LVM's commands want it."""
        return f"{self.vg_name}/{self.lv_name}"

    @property
    def number(self) -> str:
        """``MAJOR:MINOR`` of the device: it has many paths."""
        return f"{self.lv_kernel_major}:{self.lv_kernel_minor}"

    @property
    def is_thin(self) -> bool:
        """Whether its snapshots need no room of their own, but in its pool."""
        return "thin" in self.lv_layout.split(",")

    @property
    def pool(self) -> str:
        """``VG/POOL`` of a thin volume."""
        return f"{self.vg_name}/{self.pool_lv}"

    def room(self, size: Size) -> int:
        """Bytes of a snapshot of this size, in whole extents; as large as its origin, it can never overflow.

        A snapshot also keeps a table of what it has copied: 16 bytes for each chunk of 4 KiB.
        """
        wanted = size.bytes(origin=self.lv_size, free=self.vg_free)
        if wanted >= self.lv_size:
            wanted = self.lv_size + self.lv_size // 128 + self.vg_extent_size
        return -(-wanted // self.vg_extent_size) * self.vg_extent_size


def volumes_at(paths: Iterable[str], host: Host) -> dict[str, Volume]:
    """Give the volumes at those paths, in one question; a path that is no volume's is left out."""
    numbers = {path: node.number for path in paths if (node := host.look(path)) and node.number}
    if not numbers:
        return {}
    reported = _reported(host, fence(host), *numbers, ok=(0, NOT_FOUND))
    found = {volume.number: volume for volume in reported}
    return {path: found[number] for path, number in numbers.items() if number in found}


def find(volume: str, host: Host, look_away: str) -> Volume | None:
    """Look for ``VG/LV`` among its group's volumes; ``None`` if it is not there.

    Asked for by name, «not there» and «the group cannot be read now» would be the same exit code.
    """
    group, _, name = volume.partition("/")
    found = _reported(host, look_away, "--select", f"lv_name={name}", group)
    return found[0] if found else None


def tagged(tag: str, host: Host) -> list[Volume]:
    """Give all volumes of the host's own groups that bear a tag; those of a group that cannot be read are left out."""
    return _reported(host, fence(host), "--select", f"lv_tags={tag}", ok=(0, NOT_FOUND))


def _reported(host: Host, look_away: str, *which: str, ok: tuple[int, ...] = (0,)) -> list[Volume]:
    report = host.ask("lvs", "--config", look_away, *REPORT, *which, ok=ok).out
    listed = json.loads(report)["report"][0].get("lv", []) if report.strip() else []
    return [msgspec.convert({**entry, "look_away": look_away}, Volume, strict=False) for entry in listed]
