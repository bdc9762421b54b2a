"""Whether there is room for the snapshots of a whole job, before the first is made."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

import msgspec

from holdstill.plugin import Complaint, ExitCode, Host, Size, human_bytes
from holdstill_plugins.lvm_volumes import Volume

FULL_METADATA = 80.0
"Percent of a thin pool's metadata from which on no snapshot is made."


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that is to be made."""

    guest: str
    volume: Volume
    size: Size

    @property
    def room(self) -> int:
        """Bytes that it may need."""
        return self.volume.room(self.size)


def no_room(wanted: list[Wanted], host: Host) -> list[Complaint]:
    """Complain of volume groups and thin pools that are too full for all that is wanted of them."""
    thick = [one for one in wanted if not one.volume.is_thin]
    thin = [one for one in wanted if one.volume.is_thin]
    return [
        *(complaint for group in _by(thick, "vg_name") if (complaint := _full_group(group))),
        *(complaint for pool in _by(thin, "pool") if (complaint := _full_pool(pool, host))),
    ]


def _by(wanted: Iterable[Wanted], owner: str) -> list[list[Wanted]]:
    ordered = sorted(wanted, key=lambda one: str(getattr(one.volume, owner)))
    return [list(same) for _, same in groupby(ordered, key=lambda one: str(getattr(one.volume, owner)))]


def _full_group(wanted: list[Wanted]) -> Complaint | None:
    group, free = wanted[0].volume.vg_name, wanted[0].volume.vg_free
    needed = sum(one.room for one in wanted)
    if needed <= free and all(one.room > 0 for one in wanted):
        return None
    return Complaint(
        f"The volume group {group} has {human_bytes(free)} free; the snapshots of {_guests(wanted)} need "
        f"{human_bytes(needed)} together. Make room, or set 'size'.",
        ExitCode.SNAPSHOT,
    )


def _full_pool(wanted: list[Wanted], host: Host) -> Complaint | None:
    """A thin pool that fills up stops all its guests, so it needs as much room as thick snapshots would."""
    pool, needed = wanted[0].volume.pool, sum(one.room for one in wanted)
    fields = ("--units", "b", "--nosuffix", "--options", "lv_size,data_percent,metadata_percent")
    config = ("--config", wanted[0].volume.look_away)
    report = host.ask("lvs", *config, "--noheadings", *fields, pool).out.split()
    size, data, metadata = (float(value) for value in report)
    free = size * (1 - data / 100)
    if needed <= free and metadata <= FULL_METADATA:
        return None
    return Complaint(
        f"The thin pool {pool} has {human_bytes(free)} free and its metadata are {metadata:.0f}% full; the "
        f"snapshots of {_guests(wanted)} may need {human_bytes(needed)}. Extend the pool, or set 'size'.",
        ExitCode.SNAPSHOT,
    )


def _guests(wanted: list[Wanted]) -> str:
    """Name the guests, and what each asked for."""
    return ", ".join(dict.fromkeys(f"{one.guest} ({one.size})" for one in wanted))
