"""Copies of image files: a clone by reflink where the file system can, or else a whole copy that is not torn.

A clone is of one moment, and takes no time and no room. A plain copy takes time, in which the guest may
write: it is refused unless nobody wrote meanwhile.
"""

from __future__ import annotations

import posixpath
import shlex
from collections.abc import Iterator
from typing import Any

from holdstill.plugin import (
    CommandFailedError,
    Complaint,
    Device,
    ExitCode,
    Hold,
    Host,
    Layer,
    NodeKind,
    Search,
    SnapshotError,
    Step,
    StorageError,
    Stray,
    human_bytes,
)
from holdstill_plugins.run_names import run_in

CANNOT_CLONE = ("not supported", "cross-device", "Invalid argument", "Inappropriate ioctl")
"What cp(1) says when the file system cannot clone, rather than that something went wrong."
SPARE = 1.1
"How much of a copy's size must be free before it is made."
COPYING = 24 * 3600.0
"How long copying an image may take, in seconds."


def of(step: Step[Any], folder: str = "") -> Iterator[tuple[Device, str]]:
    """Give each disk of a step with the path of its copy: beside it unless told otherwise.

    Its name bears the run's id, and the guest's, as many guests' images may be called the same: ``web/disk.img``.
    """
    for disk in step.disks:
        name = f".{step.guest}-{disk.name}.holdstill-{step.run.id}"
        yield disk, posixpath.join(folder or posixpath.dirname(disk.path), name)


def in_the_way(disk: Device, copy: str, host: Host) -> list[Complaint]:
    """Complain of a disk that is no file, and of a folder that is not there."""
    found: list[Complaint] = []
    node, folder = host.look(disk.path), posixpath.dirname(copy)
    if node and node.kind is not NodeKind.FILE:
        found.append(
            Complaint(f"{disk.path} is a {node.kind}, not an image file; use 'lvm'.", ExitCode.CONFIG)
        )
    if not host.look(folder):
        found.append(Complaint(f"The folder {folder} for the copy of {disk.path} does not exist."))
    return found


def is_qcow2(disk: Device, host: Host) -> bool:
    """Tell whether an image is a qcow2 one, by its first bytes."""
    return host.ask("head", "--bytes=4", disk.path).out.startswith("QFI")


def make(disk: Device, copy: str, hold: Hold, host: Host, *, clone: bool) -> None:
    """Copy an image, having promised to remove the copy; ``clone`` refuses to copy it whole."""
    hold.promise(f"copy of {disk.path}", by_hand=["rm", "--force", copy], copy=copy)
    try:
        host.run("cp", "--reflink=always", disk.path, copy)
    except CommandFailedError as error:
        if clone or not any(word in error.answer.err for word in CANNOT_CLONE):
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
            f"{human_bytes(needed)} and some room to spare. Make room, or, with 'image', set 'folder' to another place."
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


def remove(copy: str, host: Host) -> None:
    """Remove a copy, or what a killed cp(1) left of it."""
    host.run("rm", "--force", copy)


def strays(search: Search, host: Host) -> list[Stray]:
    """Find copies beside the disks of the guests that are configured."""
    folders = sorted({posixpath.dirname(disk) for disk in search.disks if not disk.startswith("/dev/")})
    there = [folder for folder in folders if host.look(folder)]
    return [stray for folder in there for stray in _strays_in(folder, search, host)]


def _strays_in(folder: str, search: Search, host: Host) -> list[Stray]:
    named = ("-maxdepth", "1", "-type", "f", "-name", ".*.holdstill-*")
    found = host.ask("find", folder, *named, "-printf", r"%y %p\0").out.split("\0")[:-1]
    return [
        Stray(
            what=f"copy {path}",
            by_hand=shlex.join(["rm", "--force", path]),
            layer=Layer.SNAPSHOT,
            run=run,
        )
        for path in (line.partition(" ")[2] for line in found)
        if search.is_stray(run := run_in(path))
    ]
