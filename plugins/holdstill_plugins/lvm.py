"""``lvm``: a snapshot of a logical volume, thick or thin as its origin is."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import partial

import msgspec

from holdstill.plugin import (
    Complaint,
    Device,
    ExitCode,
    Facts,
    Hold,
    Host,
    Layer,
    MakeSnapshots,
    Search,
    Size,
    SnapshotError,
    Step,
    Stray,
    hookimpl,
    missing_tools,
)
from holdstill_plugins import lvm_fill, lvm_mend, lvm_watch, maps
from holdstill_plugins.lvm_filter import fence
from holdstill_plugins.lvm_freeze import ready_to_freeze
from holdstill_plugins.lvm_names import safe_name
from holdstill_plugins.lvm_removal import Removal, remove
from holdstill_plugins.lvm_room import Wanted, no_room
from holdstill_plugins.lvm_volumes import Volume, tagged, volumes_at
from holdstill_plugins.run_names import run_in

TAG = "holdstill"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the snapshots are made."""

    size: Size = Size(10, "ORIGIN")
    "Room for what the guest writes while the backup runs; for a thin volume, as much must be free in its pool."
    cap: Size = Size(50, "ORIGIN")
    "How large a thick snapshot that fills up may become: it is extended as long as its volume group has room."
    quiesced: bool = False
    """Say that the guest's quiesce steps stop all that it writes, as a pause does: then the snapshots of several thin
    volumes may be made one after the other."""


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need LVM's tools, logical volumes as disks, and room for all the job's snapshots together."""
    if missing := missing_tools(host, "lvs", "lvcreate", "lvremove", "lvextend", "dmsetup"):
        return missing
    volumes = volumes_at((disk.path for step in steps for disk in step.disks), host)
    found = [complaint for step in steps for complaint in _unfit(step, steps, volumes)]
    wanted = [
        Wanted(guest=step.guest, volume=volume, size=step.options.size)
        for step in steps
        for disk in step.disks
        if (volume := volumes.get(disk.path)) and not _no_origin(volume)
    ]
    return [*found, *no_room(wanted, host)]


def _unfit(
    step: Step[Options], steps: tuple[Step[Options], ...], volumes: dict[str, Volume]
) -> list[Complaint]:
    several = sum(len(other.disks) for other in steps if other.group == step.group) > 1
    found = []
    for disk in step.disks:
        volume = volumes.get(disk.path)
        if volume is None:
            why = "is not a logical volume of this host; use 'image' for a file."
            found.append(Complaint(f"{disk.path} {why}", ExitCode.NO_INPUT))
        elif why := _no_origin(volume) or (_torn(volume, step.options) if several else ""):
            found.append(Complaint(f"{disk.path} of guest {step.guest} {why}", ExitCode.SNAPSHOT))
    return found


def _no_origin(volume: Volume) -> str:
    """Say why LVM could make no snapshot of a volume."""
    if "thicksnapshot" in volume.lv_role.split(","):
        return "is a snapshot itself, and LVM makes no snapshots of those; name its origin, or a copy of it."
    for layout in {"mirror", "pool", "vdo"} & set(volume.lv_layout.split(",")):
        return f"is a {layout} volume, of which LVM makes no snapshots."
    if volume.vg_missing_pv_count:
        return (
            f"is in a volume group that lacks {volume.vg_missing_pv_count} of its devices, and LVM makes no snapshots "
            "there. Bring them back, or give them up: see lvmraid(7) and «vgreduce --removemissing» in vgreduce(8)."
        )
    return ""


def _torn(volume: Volume, options: Options) -> str:
    if volume.is_thin and not options.quiesced:
        return (
            "is a thin volume and one of several disks that must be of one moment, which LVM cannot do for thin ones. "
            "Have a quiesce step stop all that the guest writes, and say so with 'quiesced: true'."
        )
    return ""


@hookimpl
def holdstill_freeze(
    disks: tuple[Device, ...], hold: Hold, host: Host
) -> AbstractContextManager[AbstractContextManager[None]]:
    """Suspend the origins; thin ones must be quiet for another reason, see the option ``quiesced``."""
    volumes = volumes_at((disk.path for disk in disks), host)
    thick = [volume.name for volume in volumes.values() if not volume.is_thin]
    return ready_to_freeze(thick, hold, host) if thick else nullcontext(nullcontext())


@hookimpl
def holdstill_snapshot(steps: tuple[Step[Options], ...], host: Host) -> tuple[MakeSnapshots, ...]:
    """Make a snapshot of each disk, its name and tag bearing the run's id."""
    lvm_watch.get_ready(host)
    volumes = volumes_at((disk.path for step in steps for disk in step.disks), host)
    return tuple(partial(_snapshots_of, step, volumes, host) for step in steps)


def _snapshots_of(
    step: Step[Options], volumes: dict[str, Volume], host: Host, hold: Hold
) -> tuple[Device, ...]:
    return tuple(_snapshot_of(disk, volumes.get(disk.path), step, hold, host) for disk in step.disks)


def _snapshot_of(disk: Device, origin: Volume | None, step: Step[Options], hold: Hold, host: Host) -> Device:
    if origin is None:
        raise SnapshotError(f"{disk.path} is not a logical volume of this host.")
    name, tag = f"hs_{step.run.id}_{safe_name(step.guest)}_{disk.name}", f"{TAG}_{step.run.id}"
    snapshot = f"{origin.vg_name}/{name}"
    hold.promise(
        f"snapshot {snapshot}",
        by_hand=["lvremove", "--yes", snapshot],
        volume=snapshot,
        tag=tag,
        origin=origin.name,
        size=0 if origin.is_thin else origin.room(step.options.size),
        cap=0 if origin.is_thin else origin.room(step.options.cap),
        look_away=origin.look_away,
    )
    with lvm_mend.awake_after(host, origin.name, snapshot):
        host.run(
            *("lvcreate", "--yes", "--config", origin.look_away, "--snapshot"),
            *_kind(origin, step.options),
            *("--name", name, "--addtag", TAG, "--addtag", tag, origin.name),
        )
    path = f"/dev/{snapshot}"
    return msgspec.structs.replace(disk, path=path, store=path)


def _kind(origin: Volume, options: Options) -> tuple[str, ...]:
    """Give what thin and thick snapshots differ in.

    A thick one is watched by us, not by LVM's daemon: that would unmount a snapshot that overflows, and the backup
    would go on in an empty folder.
    """
    if origin.is_thin:
        return ("--setactivationskip", "n", "--activate", "y")
    return ("--size", f"{origin.room(options.size)}b", "--monitor", "n")


@hookimpl
def holdstill_tend(facts: Facts, host: Host) -> float:
    """Give a thick snapshot that fills up more room."""
    return lvm_fill.tend(facts, host) if facts.get("cap") else lvm_fill.NEVER


@hookimpl
def holdstill_still(facts: Facts, host: Host) -> dict[str, float]:
    """Refuse a backup whose snapshot overflowed: it read garbage from then on. Otherwise tell how full it is."""
    return lvm_fill.measured(str(facts["volume"]), host) if "volume" in facts else {}


@hookimpl
def holdstill_places(facts: Facts) -> list[str]:
    """Tell what must be free: the snapshot."""
    return [f"/dev/{facts['volume']}"] if "volume" in facts else []


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Resume origins, or wake one, remove its snapshot if there is a volume of that name with our tag, and sweep up."""
    if isinstance(suspended := facts.get("suspended"), list):
        with host.alone_with(*(f"/dev/mapper/{name}" for name in suspended)):
            lvm_mend.wake_maps(host, *suspended)
        return
    snapshot, origin = str(facts["volume"]), str(facts["origin"])
    look_away = str(facts.get("look_away") or fence(host))  # a journal of holdstill 0.1's first days has none
    removal = Removal(snapshot=snapshot, origin=origin, tag=str(facts["tag"]), look_away=look_away)
    remove(removal, host)


@hookimpl
def holdstill_strays(search: Search, host: Host) -> list[Stray]:
    """Find snapshots by our tag, and a tag and a name that both bear the same run's id."""
    if not (host.installed("lvs") and maps.has_device_mapper(host)):
        return []
    return [
        Stray(
            what=f"snapshot {volume.name}",
            by_hand=f"lvremove --yes {volume.name}",
            layer=Layer.SNAPSHOT,
            run=run,
        )
        for volume in tagged(TAG, host)
        if search.is_stray(run := run_in(volume.lv_name)) and f"{TAG}_{run}" in volume.lv_tags.split(",")
    ]
