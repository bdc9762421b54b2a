"""A guest's /etc/fstab: which of its disks it mounts where. Its options are never used."""

from __future__ import annotations

import posixpath
import re

import msgspec

NO_DISK = {"none", "swap", "proc", "sysfs", "tmpfs", "devpts", "nfs", "nfs4", "cifs", "bind", "overlay"}
GUEST_DISK = re.compile(r"/dev/(?:xvd|sd|vd|hd)(?P<disk>[a-z])(?P<partition>\d*)")
FIELDS = 3
"Source, mount point and type: what a line needs to be of use."
MOST = 64
"How many lines are read: a guest may write any number."


class Entry(msgspec.Struct, frozen=True):
    """A line: what is mounted where."""

    source: str
    "As written, with UUIDs in lower case for PARTUUID and the quotes taken off."
    point: str

    @property
    def disk_name(self) -> str:
        """The name that we give to ``/dev/xvda1``: ``disk1p1``; empty if it is no such name."""
        if not (found := GUEST_DISK.fullmatch(self.source)):
            return ""
        disk = f"disk{ord(found['disk']) - ord('a') + 1}"
        return f"{disk}p{found['partition']}" if found["partition"] else disk


def read_fstab(text: str) -> tuple[Entry, ...]:
    """Give the lines that mount one of the guest's disks beneath its root (fstab(5))."""
    lines = (line.split() for line in text.split("\n") if not line.lstrip().startswith("#"))
    found = {}
    for fields in [line for line in lines if len(line) >= FIELDS and line[2] not in NO_DISK][:MOST]:
        if point := plain_point(_unescaped(fields[1])):
            found[point] = Entry(_source(fields[0]), point)
    return tuple(found.values())


def plain_point(point: str) -> str:
    """Give a mount point beneath the root as the kernel will name it; empty for what cannot be one.

    What is promised must be what mountinfo says later, so no ``//`` and no ``/./``; ``..`` and control
    characters have no business in a mount point.
    """
    if not point.startswith("/") or not point.isprintable() or ".." in point.split("/"):
        return ""
    return posixpath.normpath("/" + point.strip("/")).removesuffix("/")


def _source(written: str) -> str:
    key, equals, value = written.partition("=")
    value = value.strip("\"'")
    return f"{key}{equals}{value.lower() if key == 'PARTUUID' else value}"


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
