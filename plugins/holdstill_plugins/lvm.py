"""``lvm``: a snapshot of a logical volume, thick or thin as its origin is."""

from __future__ import annotations

import json

import msgspec

from holdstill.plugin import (
    BackupError,
    Complaint,
    Device,
    ExitCode,
    Facts,
    Hold,
    Host,
    Size,
    SnapshotError,
    Step,
    UnavailableError,
    hookimpl,
    human_bytes,
    missing_tools,
)
from holdstill_plugins import lvm_mend
from holdstill_plugins.lvm_names import safe_name

TAG = "holdstill"
FULL_METADATA = 80
"Percent of a thin pool's metadata from which on no snapshot is made."
FIELDS = "vg_name,lv_name,lv_size,pool_lv,vg_free,vg_extent_size,lv_tags,lv_snapshot_invalid"
REPORT = ("--reportformat", "json", "--units", "b", "--nosuffix", "--options", FIELDS)


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the snapshots are made."""

    size: Size = Size(10, "ORIGIN")
    "Room for what the guest writes while the backup runs; for a thin volume, as much must be free in its pool."


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A logical volume, as lvs(8) reports it. Sizes are in bytes."""

    vg_name: str
    lv_name: str
    lv_size: int
    pool_lv: str
    vg_free: int
    vg_extent_size: int
    lv_tags: str
    lv_snapshot_invalid: str

    @property
    def name(self) -> str:
        """``VG/LV``, as LVM's commands want it."""
        return f"{self.vg_name}/{self.lv_name}"

    def room(self, size: Size) -> int:
        """Bytes of a snapshot of this size, in whole extents; as large as its origin, it can never overflow.

        A snapshot also keeps a table of what it has copied: 16 bytes for each chunk of 4 KiB.
        """
        wanted = size.bytes(origin=self.lv_size, free=self.vg_free)
        if wanted >= self.lv_size:
            wanted = self.lv_size + self.lv_size // 128 + self.vg_extent_size
        return -(-wanted // self.vg_extent_size) * self.vg_extent_size


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(step: Step[Options], disks: tuple[Device, ...], host: Host) -> list[Complaint]:
    """Need LVM's tools, logical volumes as disks, and room for all their snapshots together."""
    if missing := missing_tools(host, "lvs", "lvcreate", "lvremove", "dmsetup"):
        return missing
    if len(disks) > 1:
        several = f"Guest {step.guest} has {len(disks)} disks; 'lvm' cannot hold several at one moment yet."
        return [Complaint(several, ExitCode.SNAPSHOT)]
    volumes = {disk.path: _volume(disk.path, host) for disk in disks}
    found = [
        Complaint(f"{path} is not a logical volume of this host; use 'image' for a file.", ExitCode.NO_INPUT)
        for path, volume in volumes.items()
        if volume is None
    ]
    known = [volume for volume in volumes.values() if volume]
    return [*found, *_no_room(step, known), *_full_pool(step, known, host)]


def _no_room(step: Step[Options], volumes: list[Volume]) -> list[Complaint]:
    found = []
    for group in sorted({volume.vg_name for volume in volumes}):
        thick = [volume for volume in volumes if volume.vg_name == group and not volume.pool_lv]
        needed = sum(volume.room(step.options.size) for volume in thick)
        if thick and not 0 < needed <= thick[0].vg_free:
            found.append(
                Complaint(
                    f"The volume group {group} has {human_bytes(thick[0].vg_free)} free; the snapshots of guest "
                    f"{step.guest} ({step.options.size} each) need {human_bytes(needed)}. Make room, or set 'size'.",
                    ExitCode.SNAPSHOT,
                )
            )
    return found


def _full_pool(step: Step[Options], volumes: list[Volume], host: Host) -> list[Complaint]:
    """A thin pool that fills up stops all its guests, so it needs as much room as a thick snapshot would."""
    found = []
    for volume in [volume for volume in volumes if volume.pool_lv]:
        pool = f"{volume.vg_name}/{volume.pool_lv}"
        fields = ("--options", "lv_size,data_percent,metadata_percent")
        report = host.ask("lvs", "--noheadings", "--units", "b", "--nosuffix", *fields, pool).out.split()
        size, data, metadata = (float(value) for value in report)
        free, needed = size * (1 - data / 100), volume.room(step.options.size)
        if needed > free or metadata > FULL_METADATA:
            found.append(
                Complaint(
                    f"The thin pool {pool} has {human_bytes(free)} free and its metadata are {metadata:.0f}% full; the "
                    f"snapshot of {volume.name} may need {human_bytes(needed)}. Extend the pool, or set 'size'.",
                    ExitCode.SNAPSHOT,
                )
            )
    return found


def _volume(path: str, host: Host) -> Volume | None:
    """Ask LVM about an origin; ``None`` if it knows no volume of that path."""
    return _first(host.ask("lvs", *REPORT, path, ok=(0, 5)).out)


def _find(volume: str, host: Host) -> Volume | None:
    """Look for ``VG/LV`` among its group's volumes; ``None`` if it is not there.

    Asked for by name, «not there» and «the group cannot be read now» would be the same exit code.
    """
    group, _, name = volume.partition("/")
    return _first(host.ask("lvs", *REPORT, "--select", f"lv_name={name}", group).out)


def _first(report: str) -> Volume | None:
    listed = json.loads(report)["report"][0].get("lv", []) if report.strip() else []
    return msgspec.convert(listed[0], Volume, strict=False) if len(listed) == 1 else None


@hookimpl
def holdstill_snapshot(
    step: Step[Options], disks: tuple[Device, ...], hold: Hold, host: Host
) -> tuple[Device, ...]:
    """Make a snapshot of each disk, its name and tag bearing the run's id."""
    volumes = [_known(disk.path, host) for disk in disks]
    return tuple(
        _snapshot_of(volume, disk, step, hold, host) for volume, disk in zip(volumes, disks, strict=True)
    )


def _known(path: str, host: Host) -> Volume:
    volume = _volume(path, host)
    if volume is None:
        raise SnapshotError(f"{path} is not a logical volume of this host.")
    return volume


def _snapshot_of(origin: Volume, disk: Device, step: Step[Options], hold: Hold, host: Host) -> Device:
    name = f"hs_{step.run.id}_{safe_name(step.guest)}_{disk.name}"
    tag = f"{TAG}_{step.run.id}"
    snapshot = f"{origin.vg_name}/{name}"
    hold.promise(
        f"snapshot {snapshot}",
        by_hand=["lvremove", "--yes", snapshot],
        volume=snapshot,
        tag=tag,
        origin=origin.name,
    )
    kind = (
        ["--setactivationskip", "n", "--activate", "y"]
        if origin.pool_lv
        else ["--size", f"{origin.room(step.options.size)}b"]
    )
    with lvm_mend.awake_after(host, origin.name, snapshot):
        host.run(
            *("lvcreate", "--yes", "--snapshot", *kind, "--name", name),
            *("--addtag", TAG, "--addtag", tag, origin.name),
        )
    path = f"/dev/{snapshot}"
    return msgspec.structs.replace(disk, path=path, store=path)


@hookimpl
def holdstill_still(facts: Facts, host: Host) -> None:
    """Refuse a backup whose snapshot overflowed: it read garbage from then on."""
    volume = _find(str(facts["volume"]), host)
    if volume is None:
        raise BackupError(f"the snapshot {facts['volume']} is gone")
    if volume.lv_snapshot_invalid not in {"", "unknown"}:
        raise BackupError(f"the snapshot {facts['volume']} overflowed; give it more room ('size')")


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Wake the origin, remove the snapshot if there is a volume of that name with our tag, and sweep up."""
    snapshot, origin = str(facts["volume"]), str(facts["origin"])
    volume = _find(snapshot, host)  # first: it waits for an LVM command that is at work on the group
    lvm_mend.wake(host, origin, snapshot)
    if volume is not None:
        _remove(volume, str(facts["tag"]), origin, host)
    lvm_mend.sweep(host, origin, snapshot)


def _remove(volume: Volume, tag: str, origin: str, host: Host) -> None:
    if tag not in volume.lv_tags.split(","):
        raise UnavailableError(f"{volume.name} does not bear the tag {tag}, so it is not removed")
    with lvm_mend.awake_after(host, origin, volume.name):
        host.run("lvremove", "--yes", volume.name)
