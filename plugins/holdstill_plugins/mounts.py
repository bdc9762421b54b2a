"""Mounting what a guest wrote, and what is mounted, as the kernel tells it (proc_pid_mountinfo(5))."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from holdstill.plugin import (
    BackupError,
    CommandFailedError,
    Device,
    Facts,
    GuestUnusableError,
    Hold,
    HoldstillError,
    Host,
    Layer,
    Promised,
    Search,
    Stray,
    UnavailableError,
    printable,
)

OPTIONS = "ro,nosuid,nodev,noexec,nosymfollow"
NO_PANIC = ",errors=remount-ro"
MORE_OPTIONS = {"xfs": ",nouuid", "ext2": NO_PANIC, "ext3": NO_PANIC, "ext4": NO_PANIC}
"""XFS refuses a file system whose UUID is mounted already, which its origin may be. What ext does on an error is
written on the guest's disk, and may be to panic: the host's kernel, at the first error of an overflowed snapshot.
"""
OLD_INTERFACE = {"LIBMOUNT_FORCE_MOUNT2": "always"}
"From 2.39 on libmount uses a system call that refuses a descriptor's name (/proc/self/fd/3) as a mount point."
REFUSED = 32
"mount's exit code for a mount that failed."
TWIN = (
    "a btrfs of the same UUID, such as its origin, is mounted on this host, and Linux before 6.7 takes the two for "
    "one. Mount one of them at a time."
)


class Mounted(msgspec.Struct, frozen=True):
    """A mount: which device is seen there."""

    number: str
    "``MAJOR:MINOR``; btrfs has one of its own making, hence also:"
    source: str
    "The device's path, as mount(8) was given it."


def at(host: Host, point: str) -> list[Mounted]:
    """Give what is mounted at ``point``, the visible one last."""
    return [mounted for where, mounted in _all(host) if where == point]


def holding(host: Host, paths: Iterable[str]) -> dict[str, Mounted]:
    """Give the mount that each path is on, there or not."""
    visible = dict(_all(host))
    return {
        path: next(visible[place] for place in map(str, (real, *real.parents)) if place in visible)
        for path, real in ((path, Path(os.path.realpath(path))) for path in paths)
    }


def _all(host: Host) -> Iterator[tuple[str, Mounted]]:
    """Give each mount with where it is, the visible one of a place last."""
    for line in filter(None, host.read("/proc/self/mountinfo").split("\n")):
        fields = line.split(" ")
        yield _unescaped(fields[4]), Mounted(fields[2], _unescaped(fields[fields.index("-", 6) + 2]))


def _is(mounted: Mounted, facts: Facts) -> bool:
    return mounted.number == facts["number"] or mounted.source == facts["device"]


def _unescaped(field: str) -> str:
    """Undo the octal escapes of blanks, tabs, line feeds and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def expect(facts: Facts, host: Host) -> None:
    """Raise BackupError unless what was mounted is what is seen there."""
    point, there = str(facts["at"]), at(host, str(facts["at"]))
    if not there or not _is(there[-1], facts):
        raise BackupError(f"what was mounted at {point} is not there any more")


def unmount(facts: Facts, host: Host) -> None:
    """Unmount what is ours, lazily if it is in use and was asked for.

    Raises UnavailableError if something else is mounted over it.
    """
    point, there = str(facts["at"]), at(host, str(facts["at"]))
    if not any(_is(mounted, facts) for mounted in there):
        return
    if not _is(there[-1], facts):
        raise UnavailableError(f"something else ({there[-1].source}) is mounted over {point}")
    try:
        host.run("umount", "--no-canonicalize", point)
    except CommandFailedError:
        if not facts.get("lazy"):
            raise
        host.run("umount", "--no-canonicalize", "--lazy", point)


def mount(device: Device, at: str, place: str, hold: Hold, host: Host, *, lazy: bool = False) -> Promised:
    """Mount ``device`` at the path ``at``, which ``place`` is a safe name of; ``lazy`` is how it may be unmounted."""
    node = host.look(device.path)
    promised = hold.promise(
        f"mount at {at}",
        by_hand=["umount", at],
        at=at,
        number=node.number if node else "",
        device=device.path,
        lazy=int(lazy),
    )
    options = OPTIONS + MORE_OPTIONS.get(device.content, "")
    try:
        host.run(
            *("mount", "--no-canonicalize", "--types", device.content, "--options", options),
            *(device.path, place),
            env=OLD_INTERFACE,
        )
    except CommandFailedError as error:
        raise _unmountable(device, at, error) from None
    return promised


def _unmountable(device: Device, at: str, error: CommandFailedError) -> HoldstillError:
    """Say that the kernel refused a file system, and why as far as is known; other failures stay what they are."""
    if error.answer.status != REFUSED:
        return error
    said = error.answer.err.strip().partition("\n")[0].rpartition(": ")[2]
    why = TWIN if device.content == "btrfs" and "File exists" in said else f"mount says: {printable(said)}"
    return GuestUnusableError(f"{printable(device.name)} ({device.content}) cannot be mounted at {at}; {why}")


def strays(search: Search, host: Host) -> list[Stray]:
    """Find mounts in the folder with the trees that no run has, the last that were made first."""
    lines = [line.split(" ") for line in host.read("/proc/self/mountinfo").split("\n") if line]
    points = [_unescaped(fields[4]) for fields in reversed(lines)]
    return [
        Stray(what=f"mount at {point}", by_hand=shlex.join(["umount", point]), layer=Layer.MOUNT)
        for point in points
        if search.is_stray_tree(point)
    ]
