"""``qcow2``: a guest's disk that is a qcow2 file, cloned as by ``image``, and served as an NBD device.

The copy lies beside the image, where a backing file with a relative path is found from both. It is written
to, as journals are replayed; what backs it is only read. No format is ever guessed: a raw disk whose first
bytes the guest made look like qcow2 could name any file of this host as its own.
"""

from __future__ import annotations

from functools import partial

import msgspec

from holdstill.plugin import (
    BackupError,
    CommandFailedError,
    Complaint,
    Device,
    ExitCode,
    Facts,
    Hold,
    Host,
    MakeSnapshots,
    Search,
    Step,
    Stray,
    UnavailableError,
    hookimpl,
    missing_tools,
)
from holdstill_plugins import copies, nbd
from holdstill_plugins.qcow2_layers import Layer, layer_of, layers_of
from holdstill_plugins.udev_rule import missing_rule


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """How images are copied."""

    clone: bool = False
    "Refuse where the file system cannot clone, rather than copy the whole image."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need the tools, the kernel's NBD, udev to keep its hands off, and files that are qcow2 in all layers."""
    found = missing_tools(host, "cp", "losetup", "lsblk", "partx", "qemu-img", "qemu-nbd") + missing_rule(
        host
    )
    if not host.look(nbd.FIRST):
        found.append(
            Complaint(
                "The kernel's NBD devices are not there: «modprobe nbd», and for later boots "
                "«echo nbd > /etc/modules-load.d/nbd.conf»."
            )
        )
    for disk, copy in (pair for step in steps for pair in copies.of(step)):
        found += copies.in_the_way(disk, copy, host) or _unfit(disk, host)
    return found


def _unfit(disk: Device, host: Host) -> list[Complaint]:
    if not copies.is_qcow2(disk, host):
        return [Complaint(f"{disk.path} is not a qcow2 image; use 'image' for raw ones.", ExitCode.CONFIG)]
    if not host.installed("qemu-img"):
        return []
    try:
        return [Complaint(wrong) for layer in layers_of(disk.path, host) if (wrong := layer.unfit)]
    except CommandFailedError as error:
        return [Complaint(f"{disk.path}, or what backs it, cannot be read: {error}", ExitCode.DATA)]


@hookimpl
def holdstill_snapshot(steps: tuple[Step[Options], ...], host: Host) -> tuple[MakeSnapshots, ...]:
    """Clone each image, then serve each clone."""
    return tuple(
        partial(_snapshots, step, [layer_of(disk.path, host) for disk in step.disks], host) for step in steps
    )


def _snapshots(step: Step[Options], layers: list[Layer], host: Host, hold: Hold) -> tuple[Device, ...]:
    for disk, copy in copies.of(step):
        copies.make(disk, copy, hold, host, clone=step.options.clone)
    served = zip(copies.of(step), layers, strict=True)
    return tuple(_served(disk, copy, layer.size, hold, host) for (disk, copy), layer in served)


def _served(disk: Device, copy: str, size: int, hold: Hold, host: Host) -> Device:
    path = nbd.connect(copy, size, disk.name, hold, host)
    return msgspec.structs.replace(disk, path=path, store=path, size=size)


@hookimpl
def holdstill_still(facts: Facts, host: Host) -> None:
    """Refuse a backup whose disk went away: its server was killed, or disconnected by hand."""
    if "served" in facts and not nbd.serving(str(facts["served"]), host):
        raise BackupError(f"no NBD device serves {facts['served']} any more")


@hookimpl
def holdstill_places(facts: Facts, host: Host) -> list[str]:
    """Tell what must be free: the NBD device."""
    return [] if "copy" in facts else nbd.serving(str(facts["served"]), host)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """End the serving of a copy, or remove the copy when nothing serves it any more."""
    if "copy" not in facts:
        nbd.disconnect(str(facts["served"]), host)
        return
    copy = str(facts["copy"])
    if devices := nbd.serving(copy, host):
        raise UnavailableError(f"{copy} is still in use by {', '.join(devices)}")
    copies.remove(copy, host)


@hookimpl
def holdstill_strays(search: Search, host: Host) -> list[Stray]:
    """Find NBD devices that serve a copy of ours, and copies."""
    return nbd.strays(search, host) + copies.strays(search, host)
