"""A guest's /etc/fstab: which of its disks it mounts where. Its options are never used."""

from __future__ import annotations

import re

import msgspec

LOCAL_ONLY = {"none", "swap", "proc", "sysfs", "tmpfs", "devpts", "nfs", "nfs4", "cifs", "bind", "overlay"}
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
    fields = (line.split() for line in text.splitlines() if not line.lstrip().startswith("#"))
    entries = [_entry(line) for line in fields if len(line) >= FIELDS and _counts(line)]
    return tuple({entry.point: entry for entry in entries[:MOST]}.values())


def _counts(fields: list[str]) -> bool:
    point, kind = _unescaped(fields[1]), fields[2]
    return (
        point.startswith("/")
        and point.strip("/") != ""
        and ".." not in point.split("/")
        and kind not in LOCAL_ONLY
    )


def _entry(fields: list[str]) -> Entry:
    key, equals, value = fields[0].partition("=")
    value = value.strip("\"'")
    if key == "PARTUUID":
        value = value.lower()
    return Entry(f"{key}{equals}{value}", "/" + _unescaped(fields[1]).strip("/"))


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
