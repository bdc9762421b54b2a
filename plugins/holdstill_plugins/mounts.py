"""What is mounted, as the kernel tells it (proc_pid_mountinfo(5))."""

from __future__ import annotations

import re

import msgspec

from holdstill.plugin import BackupError, Host, UnavailableError


class Mounted(msgspec.Struct, frozen=True):
    """A mount: which device is seen there."""

    number: str
    "``MAJOR:MINOR``; btrfs has one of its own making, hence also:"
    source: str
    "The device's path, as mount(8) was given it."


def at(host: Host, point: str) -> list[Mounted]:
    """Give what is mounted at ``point``, the visible one last."""
    lines = (line.split(" ") for line in host.read("/proc/self/mountinfo").split("\n") if line)
    return [
        Mounted(fields[2], _unescaped(fields[fields.index("-", 6) + 2]))
        for fields in lines
        if _unescaped(fields[4]) == point
    ]


def _is(mounted: Mounted, number: str, device: str) -> bool:
    return mounted.number == number or mounted.source == device


def _unescaped(field: str) -> str:
    """Undo the octal escapes of blanks, tabs, line feeds and backslashes."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def expect(host: Host, point: str, number: str, device: str) -> None:
    """Raise BackupError unless that device is what is seen at ``point``."""
    there = at(host, point)
    if not there or not _is(there[-1], number, device):
        raise BackupError(f"what was mounted at {point} is not there any more")


def unmount(host: Host, point: str, number: str, device: str) -> None:
    """Unmount what is ours at ``point``. Raises UnavailableError if something else is mounted over it."""
    there = at(host, point)
    if not any(_is(mounted, number, device) for mounted in there):
        return
    if not _is(there[-1], number, device):
        raise UnavailableError(f"something else ({there[-1].source}) is mounted over {point}")
    host.run("umount", "--no-canonicalize", point)
