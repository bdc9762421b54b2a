"""Watch how full a snapshot is, and give it more room before it overflows: then it is lost, and the backup with it."""

from __future__ import annotations

import msgspec
import structlog

from holdstill.plugin import BackupError, Facts, Host, SnapshotError, human_bytes
from holdstill_plugins.lvm_mend import awake_after
from holdstill_plugins.lvm_names import map_name
from holdstill_plugins.lvm_volumes import find

log = structlog.get_logger()

EXTEND_AT = 0.6
"How full a snapshot is when it is extended: a burst of writes must not fill the rest before the next look."
WARN_AT = 0.8
AT_EASE, ALERT = 2.0, 0.5
"Seconds until the next look. Device-mapper tells no event before a snapshot has overflowed."
NEVER = 3600.0
"Seconds, for a thin snapshot: it has no room of its own that could overflow."
SECTOR = 512


class Fill(msgspec.Struct, frozen=True):
    """How much of a snapshot's room is used, in bytes (Linux, Documentation/admin-guide/device-mapper/snapshot.rst)."""

    used: int
    size: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.used / self.size


def tend(facts: Facts, host: Host) -> float:
    """Extend a snapshot that fills up, up to its cap; give the seconds until the next look.

    Raises SnapshotError as a warning when it is nearly full and cannot be extended, or is lost.
    """
    name = str(facts["volume"])
    fill = _fill(name, host)
    if fill.share >= EXTEND_AT and not _extended(name, fill, facts, host) and fill.share >= WARN_AT:
        tenths = int(fill.share * 10) * 10  # told again only when it is worse
        raise SnapshotError(
            f"the snapshot {name} is over {tenths}% full and cannot be extended; when it overflows, this backup has "
            "failed. Make room in its volume group, or raise its 'cap'"
        )
    return ALERT if fill.share >= EXTEND_AT / 2 else AT_EASE


def measured(name: str, host: Host) -> dict[str, float]:
    """Measure how full a thick snapshot is. Raises BackupError if one cannot be read any more."""
    answer = host.ask("dmsetup", "status", map_name(name), ok=(0, 1))
    if answer.status:
        raise BackupError(f"the snapshot {name} is gone")
    kind, state = answer.out.split()[2:4]
    used, slash, size = state.partition("/")
    if kind == "snapshot" and not slash:
        raise BackupError(
            f"the snapshot {name} overflowed; give it more room ('size'), or more to grow ('cap')"
        )
    if kind == "thin" and not state.isdecimal():
        raise BackupError(f"the thin snapshot {name} cannot be read ({state}); look at its pool")
    return {"snapshot_fill_ratio": Fill(int(used), int(size)).share} if slash else {}


def _fill(name: str, host: Host) -> Fill:
    status = host.ask("dmsetup", "status", map_name(name)).out.split()
    used, slash, size = status[3].partition("/")
    if not slash:
        raise SnapshotError(f"the snapshot {name} has overflowed: it is lost, and this backup has failed")
    return Fill(int(used) * SECTOR, int(size) * SECTOR)


def _extended(name: str, fill: Fill, facts: Facts, host: Host) -> bool:
    """Give it as much again as it had at first; the rest up to its cap, or in its group, if that is less."""
    look_away = str(facts["look_away"])
    volume = find(name, host, look_away)
    more = min(int(str(facts["size"])), int(str(facts["cap"])) - fill.size, volume.vg_free if volume else 0)
    if volume is None or more < volume.vg_extent_size:
        return False
    extents = more // volume.vg_extent_size
    config = f"{look_away} activation {{ monitoring=0 }}"
    origin = str(facts["origin"])
    # LVM suspends the origin and resumes it, which another job may hold still
    with host.alone_with(f"/dev/{origin}"), awake_after(host, origin, name):
        host.run("lvextend", "--config", config, "--extents", f"+{extents}", name)
    log.warning("snapshot extended", snapshot=name, was=human_bytes(fill.size), extents=extents)
    return True
