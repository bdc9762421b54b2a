"""``fsfreeze``: a file system that is mounted on this host, by fsfreeze(8).

All that was written is on the disk, and nobody writes while the snapshot is made: who tries to, waits. If holdstill
dies, or takes longer than ``at-most``, a process beside it lets the file system go; and it is promised: if that process
was killed as well, the next run or «holdstill recover» does so.

A file system that holdstill itself needs is refused; so is one that lies on a guest's volume directly, as LVM freezes
that by itself.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from holdstill.plugin import (
    Complaint,
    Device,
    Facts,
    Hold,
    Host,
    QuiesceOptions,
    Step,
    Thaw,
    frozen,
    hookimpl,
    missing_tools,
)
from holdstill_plugins import mounts

NEEDED = ("/", "/etc", "/run", "/var", "/var/lib/holdstill", "/var/log")
"Where this host's programs write at any time, LVM's and ours among them."
NOT_FROZEN = "Invalid argument"
"What fsfreeze says if there is nothing to let go of (EINVAL)."
REFUSALS = "freeze failed: |cannot open "
"How it says that it has frozen nothing: what is frozen already (EBUSY) is somebody else's."


class Options(QuiesceOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which file system."""

    path: str
    "Where it is mounted on this host. For several, write the step several times."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need fsfreeze, and file systems that are not needed meanwhile."""
    found = (_complaint(step, host) for step in steps)
    return [*missing_tools(host, "fsfreeze"), *(Complaint(sentence) for sentence in found if sentence)]


def _complaint(step: Step[Options], host: Host) -> str:
    point, real = step.options.path, os.path.realpath(step.options.path)
    there = mounts.at(host, real)
    if not there:
        return f"{point}, to be frozen for guest {step.guest}, is no mount point: «findmnt» shows those."
    for disk in step.disks:
        if _is_on(there[-1], disk, host):
            return (
                f"{point} lies on {disk.path} of guest {step.guest} itself: LVM freezes it for the snapshot, "
                "and could not if it were frozen already. Leave this step out."
            )
    needed = mounts.holding(host, [*NEEDED, step.run.trees, *_beside_images(step), *_open_files()])
    for path, mounted in needed.items():
        if mounted.number == there[-1].number:
            why = f"{path} is on it, and holdstill would wait for itself"
            return f"{point} cannot be frozen for guest {step.guest}: {why}."
    return ""


def _is_on(mounted: mounts.Mounted, disk: Device, host: Host) -> bool:
    """Whether a file system is all that is on a disk; of btrfs, only the device's path tells."""
    node, source = host.look(disk.path), host.look(mounted.source)
    numbers = {mounted.number, source.number if source else ""}
    return node is not None and node.number != "" and node.number in numbers


def _beside_images(step: Step[Options]) -> list[str]:
    """Give the folders of disks that are files: copies of them are made there."""
    return [str(Path(disk.store).parent) for disk in step.disks if not disk.store.startswith("/dev/")]


def _open_files() -> Iterator[str]:
    """Give what we have open: our lock and journal, wherever they are, and files that our caller has us write to."""
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the one that we look with
            path = str(descriptor.readlink())
            if path.startswith("/"):
                yield path


@hookimpl
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> AbstractContextManager[None]:
    """Keep the file system frozen while the snapshot is made."""
    path = os.path.realpath(step.options.path)  # a link may lead elsewhere by the time that it is let go of
    thaw = Thaw(
        what=f"{path} frozen for guest {step.guest}",
        argv=("fsfreeze", "--unfreeze", path),
        nothing=NOT_FROZEN,
        refusal=REFUSALS,
    )
    return frozen(("fsfreeze", "--freeze", path), thaw, step.options, hold, host)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Let go of what a dead run froze, if it is still mounted: what is mounted anew is not frozen."""
    thaw = Thaw.of(facts)
    if mounts.at(host, os.path.realpath(thaw.argv[-1])):
        thaw.run(host)
