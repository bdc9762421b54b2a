"""``image``: a guest's disk that is a raw image file, cloned by reflink where the file system can, and attached."""

from __future__ import annotations

from functools import partial

import msgspec

from holdstill.plugin import (
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
from holdstill_plugins import copies, loops
from holdstill_plugins.probe import PHYSICAL, probe


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
    for disk, copy in (pair for step in steps for pair in _copies(step)):
        found += copies.in_the_way(disk, copy, host)
        if host.look(disk.path) and copies.is_qcow2(disk, host):
            found.append(
                Complaint(
                    f"{disk.path} is a qcow2 image; 'image' reads raw images only. Write 'snapshot: qcow2'.",
                    ExitCode.CONFIG,
                )
            )
    return found


def _copies(step: Step[Options]) -> list[tuple[Device, str]]:
    return list(copies.of(step, step.options.folder))


@hookimpl
def holdstill_snapshot(steps: tuple[Step[Options], ...], host: Host) -> tuple[MakeSnapshots, ...]:
    """Clone each image, then attach each clone."""
    return tuple(partial(_snapshots, step, host) for step in steps)


def _snapshots(step: Step[Options], host: Host, hold: Hold) -> tuple[Device, ...]:
    for disk, copy in _copies(step):
        copies.make(disk, copy, hold, host, clone=step.options.clone)
    return tuple(_attached(disk, copy, hold, host) for disk, copy in _copies(step))


def _attached(disk: Device, copy: str, hold: Hold, host: Host) -> Device:
    """Attach a copy, unless it is a physical volume as a whole: the host's LVM is not to see that."""
    found = probe(host, copy)
    if found.content == PHYSICAL:
        return msgspec.structs.replace(
            disk, store=copy, path=copy, attached=False, content=found.content, aliases=found.aliases
        )
    path = loops.attach(loops.Window(store=copy), disk.name, hold, host)
    return msgspec.structs.replace(disk, store=copy, path=path)


@hookimpl
def holdstill_places(facts: Facts, host: Host) -> list[str]:
    """Tell what must be free: the loop device."""
    return [] if "copy" in facts else loops.promised(facts, host)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Detach the loop device, or remove the copy when nothing uses it any more."""
    if "copy" not in facts:
        loops.detach(facts, host)
        return
    copy = str(facts["copy"])
    if users := loops.on(copy, host):
        raise UnavailableError(f"{copy} is still in use by {', '.join(users)}")
    copies.remove(copy, host)


@hookimpl
def holdstill_strays(search: Search, host: Host) -> list[Stray]:
    """Find loop devices on what is ours, and copies."""
    return loops.strays(search, host) + copies.strays(search, host)
