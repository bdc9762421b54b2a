"""``image``: a guest's disk that is a file, cloned by reflink where the file system can, and attached.

A clone is of one moment, and takes no time and no room. A plain copy takes time, in which the guest may
write: it is refused unless nobody wrote meanwhile.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from functools import partial

import msgspec

from holdstill.plugin import (
    CommandFailedError,
    Complaint,
    Device,
    ExitCode,
    Facts,
    Hold,
    Host,
    MakeSnapshots,
    NodeKind,
    SnapshotError,
    Step,
    StorageError,
    UnavailableError,
    hookimpl,
    human_bytes,
    missing_tools,
)
from holdstill_plugins import loops
from holdstill_plugins.probe import PHYSICAL, probe

CANNOT_CLONE = ("not supported", "cross-device", "Invalid argument", "Inappropriate ioctl")
"What cp(1) says when the file system cannot clone, rather than that something went wrong."
SPARE = 1.1
"How much of a copy's size must be free before it is made."
COPYING = 24 * 3600.0
"How long copying an image may take, in seconds."


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """How images are copied."""

    folder: str = ""
    "Where the copies go; beside each image if not given, which is where it can be cloned."
    clone: bool = False
    "Refuse where the file system cannot clone, rather than copy the whole image."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need the tools, files as disks, and the folder for the copies."""
    found = missing_tools(host, "cp", "losetup")
    for step in steps:
        found += _in_the_way(step, host)
    return found


def _in_the_way(step: Step[Options], host: Host) -> list[Complaint]:
    found: list[Complaint] = []
    for disk in step.disks:
        node, folder = host.look(disk.path), posixpath.dirname(_copy(step, disk))
        if node and node.kind is not NodeKind.FILE:
            found.append(
                Complaint(f"{disk.path} is a {node.kind}, not an image file; use 'lvm'.", ExitCode.CONFIG)
            )
        if node and host.ask("head", "--bytes=4", disk.path).out.startswith("QFI"):
            found.append(
                Complaint(f"{disk.path} is a qcow2 image; 'image' reads raw images only.", ExitCode.CONFIG)
            )
        if not host.look(folder):
            found.append(Complaint(f"The folder {folder} for the copy of {disk.path} does not exist."))
    return found


@hookimpl
def holdstill_snapshot(steps: tuple[Step[Options], ...], host: Host) -> tuple[MakeSnapshots, ...]:
    """Clone each image, then attach each clone."""
    return tuple(partial(_snapshots, step, host) for step in steps)


def _snapshots(step: Step[Options], host: Host, hold: Hold) -> tuple[Device, ...]:
    copies = list(_copies(step, hold, host))
    return tuple(_attached(disk, copy, hold, host) for disk, copy in zip(step.disks, copies, strict=True))


def _attached(disk: Device, copy: str, hold: Hold, host: Host) -> Device:
    """Attach a copy, unless it is a physical volume as a whole: the host's LVM is not to see that."""
    found = probe(host, copy)
    if found.content == PHYSICAL:
        return msgspec.structs.replace(
            disk, store=copy, path=copy, attached=False, content=found.content, aliases=found.aliases
        )
    path = loops.attach(loops.Window(store=copy), disk.name, hold, host)
    return msgspec.structs.replace(disk, store=copy, path=path)


def _copies(step: Step[Options], hold: Hold, host: Host) -> Iterator[str]:
    for disk in step.disks:
        copy = _copy(step, disk)
        hold.promise(f"copy of {disk.path}", by_hand=["rm", "--force", copy], copy=copy)
        _clone(step, disk, copy, host)
        yield copy


def _copy(step: Step[Options], disk: Device) -> str:
    folder, name = posixpath.split(disk.path)
    return posixpath.join(step.options.folder or folder, f".{name}.holdstill-{step.run.id}")


def _clone(step: Step[Options], disk: Device, copy: str, host: Host) -> None:
    try:
        host.run("cp", "--reflink=always", disk.path, copy)
    except CommandFailedError as error:
        if step.options.clone or not any(word in error.answer.err for word in CANNOT_CLONE):
            raise
        _need_room(disk, copy, host)
        _copy_whole(disk, copy, host)


def _need_room(disk: Device, copy: str, host: Host) -> None:
    """Refuse a copy that would fill the disk on which live guests' images may lie."""
    needed = int(host.ask("du", "--block-size=1", disk.path).out.split()[0])
    folder = posixpath.dirname(copy)
    free = int(host.ask("df", "--output=avail", "--block-size=1", folder).out.split()[-1])
    if needed * SPARE > free:
        raise StorageError(
            f"{folder} has {human_bytes(free)} free and cannot clone files; a copy of {disk.path} needs "
            f"{human_bytes(needed)} and some room to spare. Make room, or set 'folder' to another place."
        )


def _copy_whole(disk: Device, copy: str, host: Host) -> None:
    """Copy byte by byte, and refuse the copy if the image was written to meanwhile: it would be torn."""
    before = host.look(disk.path)
    try:
        host.run("cp", "--reflink=never", "--sparse=always", disk.path, copy, deadline=COPYING)
    except CommandFailedError as error:
        raise StorageError(f"{disk.path} ({human_bytes(disk.size)}) could not be copied: {error}") from error
    if host.look(disk.path) != before:
        raise SnapshotError(
            f"{disk.path} was written to while it was copied, so the copy is not of one moment. Keep it on a file "
            "system that can clone (XFS, btrfs), or quiesce the guest for as long as the copy takes."
        )


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Detach the loop device, or remove the copy when nothing uses it any more."""
    if "copy" not in facts:
        loops.detach(facts, host)
        return
    copy = str(facts["copy"])
    if users := loops.on(copy, host):
        raise UnavailableError(f"{copy} is still in use by {', '.join(users)}")
    host.run("rm", "--force", copy)
