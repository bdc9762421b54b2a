"""A guest's /etc/fstab: which of its disks it mounts where. Its options are never used."""

from __future__ import annotations

import posixpath
import re

import msgspec

NAMED = ("/dev/", "UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=")
"How the source of a line begins that means a disk; others are the kernel's own file systems, or a network's."
BY = {"uuid": "UUID", "label": "LABEL", "partuuid": "PARTUUID", "partlabel": "PARTLABEL"}
GUEST_DISK = re.compile(
    r"/dev/(?:(?:xvd|sd|vd|hd)(?P<letter>[a-z])(?P<part>\d*)|nvme(?P<nvme>\d)n1(?:p(?P<p>\d+))?)"
)
FIELDS = 3
"Source, mount point and type: what a line needs to be of use."
MOST = 256
"How many lines are read: a guest may write any number."


class Entry(msgspec.Struct, frozen=True):
    """A line: which disk is mounted where."""

    source: str
    "As written, but /dev/disk/by-uuid/… as UUID=…, PARTUUIDs in lower case, and without quotes."
    point: str
    subvolume: bool = False
    "Whether it mounts a part of a btrfs."

    @property
    def disk_name(self) -> str:
        """The name that we give to ``/dev/xvda1``: ``disk1p1``; empty if it is no such name."""
        if not (found := GUEST_DISK.fullmatch(self.source)):
            return ""
        number = ord(found["letter"]) - ord("a") if found["letter"] else int(found["nvme"])
        part = found["part"] or found["p"]
        return f"disk{number + 1}p{part}" if part else f"disk{number + 1}"


def read_fstab(text: str) -> tuple[Entry, ...]:
    """Give the lines that mount a disk at boot, the root's first (fstab(5)). Raises ValueError for too many."""
    lines = (line.split() for line in text.split("\n") if not line.lstrip().startswith("#"))
    wanted = [line for line in lines if len(line) >= FIELDS and _is_mounted(line)]
    if len(wanted) > MOST:
        raise ValueError(f"it has more than {MOST} lines")
    found = {point: _entry(line, point) for line in wanted if (point := _point(line[1]))}
    return tuple(sorted(found.values(), key=lambda entry: entry.point.rstrip("/").count("/")))


def _is_mounted(fields: list[str]) -> bool:
    options = fields[3].split(",") if len(fields) > FIELDS else []
    return (
        fields[0].startswith(NAMED)
        and fields[2] != "swap"
        and fields[1] != "none"
        and "noauto" not in options
    )


def _entry(fields: list[str], point: str) -> Entry:
    options = fields[3].split(",") if len(fields) > FIELDS else []
    return Entry(_source(fields[0]), point, any(option.startswith("subvol") for option in options))


def _point(written: str) -> str:
    return "/" if written == "/" else plain_point(_unescaped(written))


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
    if written.startswith("/dev/disk/by-"):
        kind, _, name = written.removeprefix("/dev/disk/by-").partition("/")
        key, equals, value = BY.get(kind, written), "=" if kind in BY else "", name if kind in BY else ""
    value = value.strip("\"'")
    return f"{key}{equals}{value.lower() if key == 'PARTUUID' else value}"


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
