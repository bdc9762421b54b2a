"""Guest disks for tests and to try things out: whole, real, and made in a moment without being root.

Nothing is attached or mounted to make one. LVM's metadata are written here rather than by LVM, which
takes block devices only: a loop device needs root, and on many hosts udev would activate the guest's
volume group from it, under its own name. The partition table, LVM's metadata and all names and UUIDs
are the same each time for the same arguments.

Sizes and offsets are bytes, but for those of ``Extents``.
"""

from __future__ import annotations

import hashlib
import struct
import uuid
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

from holdstill.errors import UsageError
from holdstill.testing.trees import blank, filesystem_uuid, put_filesystem, run, volume_group

Layout = Literal["mbr63", "mbr2048", "gpt", "bare"]
"""How a disk is divided.

``mbr63``: as fdisk did until 2010, by cylinders, the first partition at sector 63. ``mbr2048``: by MiB, with
logical partitions in an extended one. ``gpt``: with a BIOS boot partition first. ``bare``: not at all.
"""

MIB = 2**20
SECTOR = 512
CYLINDER = 255 * 63 * SECTOR
EXTENT = 4 * MIB
"How long LVM's extents are here."
FIRST_EXTENT = MIB
"Where a physical volume's first extent is, from the physical volume's start."
SMALLEST = 64 * MIB
"A guest's disk has at least so much,"
BOOT = 7 * MIB
"and its /boot,"
SWAP = 4 * MIB
"and its swap."

_LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"
_DOS = {"boot": "83", "root": "83", "swap": "82", "lvm": "8e", "extended": "5"}
_GPT = {
    "bios": "21686148-6449-6E6F-744E-656564454649",
    "boot": _LINUX,
    "root": _LINUX,
    "swap": "0657FD6D-A4AB-43C4-84E5-0933C84B4F4F",
    "lvm": "E6D6D379-F507-44C2-A23C-238F2A3DF928",
}


@dataclass(frozen=True)
class Stretch:
    """Bytes of a disk that lie beside each other."""

    start: int
    size: int
    part: int = 0
    "On which of a volume group's parts, from 0: other than 0 only where ``write_volume_group`` was given several."


@dataclass(frozen=True)
class Partition:
    """One line of the partition table."""

    number: int
    role: str
    "``boot``, ``root``, ``swap``, ``lvm``, ``extended`` or ``bios``."
    type: str
    "As ``sfdisk --json`` writes it."
    place: Stretch


@dataclass(frozen=True)
class Extents:
    """Extents of one of a volume group's parts that lie beside each other; all counted from 0."""

    first: int
    count: int
    part: int | str = 0
    "Or a volume of the group, on which no honest one of such a kind would lie."


@dataclass(frozen=True)
class Volume:
    """A logical volume, and where its bytes are, in order."""

    name: str
    uuid: str
    stretches: tuple[Stretch, ...]

    @property
    def size(self) -> int:
        """How long it is."""
        return sum(stretch.size for stretch in self.stretches)


@dataclass(frozen=True)
class GuestDisk:
    """What was made. For the same disk elsewhere (its copy, a block device): ``replace(disk, path=…)``."""

    path: Path
    name: str
    partitions: tuple[Partition, ...]
    volumes: tuple[Volume, ...]
    "``root``, ``swap``, if asked for ``data`` (two pieces), without partitions ``boot``; none without LVM."
    places: Mapping[str, tuple[Stretch, ...]]
    "Where ``root``, ``boot``, ``data`` and ``swap`` are, be it a partition or a volume; without what is not there."

    @property
    def volume_group(self) -> str:
        """How its volume group is called; empty without LVM."""
        return volume_group(self.name) if self.volumes else ""

    @property
    def root(self) -> Stretch:
        """Where the root file system is: always in one piece."""
        return self.places["root"][0]


def make_guest_disk(
    path: Path,
    *,
    tree: Path,
    boot: Path,
    data: Path | None = None,
    layout: Layout = "mbr63",
    lvm: bool = True,
    size: int = 128 * MIB,
    name: str = "guest1",
) -> GuestDisk:
    """Make the disk of the guest ``name`` in the new, sparse file ``path``.

    What is in the folder ``tree`` becomes its root file system (ext4), ``boot`` its /boot (ext3), and
    ``data``, only with ``lvm``, its /srv (ext4, in a volume of two pieces). A ``bare`` disk without ``lvm``
    is the root file system alone. Names and UUIDs come from ``name``: two disks with one name are clones.
    """
    if size < SMALLEST or size % SECTOR:
        raise UsageError(
            f"A guest's disk needs {SMALLEST} bytes or more, in whole sectors; {size} does not do."
        )
    blank(path, size)
    partitions = _partition(path, layout, size, name, lvm=lvm)
    outer = {line.role: (line.place,) for line in partitions}
    if layout == "bare":
        outer = {"lvm" if lvm else "root": (Stretch(0, size),)}
    wanted = {"root", "swap"} | ({"data"} if data else set()) | ({"boot"} - outer.keys())
    volumes = _usual_volumes(path, name, outer["lvm"][0], wanted) if lvm else ()
    places = outer | {volume.name: volume.stretches for volume in volumes}
    places = {what: places[what] for what in ("root", "boot", "data", "swap") if what in places}
    for what, stretches in places.items():
        content = {"root": tree, "boot": boot, "data": data}.get(what)
        put_filesystem(path, [(piece.start, piece.size) for piece in stretches], name, what, content)
    return GuestDisk(path, name, partitions, volumes, places)


def write_volume_group(
    group: str, parts: Sequence[tuple[Path, Stretch]], volumes: Mapping[str, Sequence[Extents]]
) -> tuple[Volume, ...]:
    """Make ``parts`` (a file each, and where in it) the physical volumes of ``group``; needs no LVM.

    It writes what it is told, as a hostile guest might: extents that overlap or are outside are not refused.
    """
    text = _metadata(group, [place for _, place in parts], volumes)
    for number, (path, place) in enumerate(parts):
        with path.open("r+b") as file:
            file.seek(place.start)
            file.write(_physical_volume(_lvm_uuid(group, f"pv{number}"), place.size, text))
    starts = [place.start + FIRST_EXTENT for _, place in parts]
    return tuple(_volume(group, name, starts, pieces) for name, pieces in volumes.items())


def _volume(group: str, name: str, starts: Sequence[int], pieces: Sequence[Extents]) -> Volume:
    stretches = [
        Stretch(starts[piece.part] + piece.first * EXTENT, piece.count * EXTENT, piece.part)
        for piece in pieces
        if isinstance(piece.part, int)
    ]
    return Volume(name, _lvm_uuid(group, name), tuple(stretches))


def _usual_volumes(path: Path, name: str, place: Stretch, wanted: set[str]) -> tuple[Volume, ...]:
    boot = -(-BOOT // EXTENT) if "boot" in wanted else 0
    root = (place.size - FIRST_EXTENT) // EXTENT - 3 - boot
    volumes = {
        "root": [Extents(0, root)],
        # Its second piece lies before its first: who reads from the first extent on reads something else.
        "data": [Extents(root + 2, 1), Extents(root, 1)],
        "swap": [Extents(root + 1, 1)],
        "boot": [Extents(root + 3, boot)],
    }
    chosen = {what: extents for what, extents in volumes.items() if what in wanted}
    return write_volume_group(volume_group(name), [(path, place)], chosen)


def _partition(path: Path, layout: Layout, size: int, name: str, *, lvm: bool) -> tuple[Partition, ...]:
    if layout == "bare":
        return ()
    types = _GPT if layout == "gpt" else _DOS
    lines = [
        Partition(number, role, types[role], Stretch(start, end - start))
        for number, role, start, end in _rows(layout, size, "lvm" if lvm else "root")
    ]
    identity = uuid.UUID(filesystem_uuid(name, "disk"))
    head = f"label: gpt\nlabel-id: {identity}\n"
    if layout != "gpt":
        head = f"label: dos\nlabel-id: {identity.fields[0]:#x}\n"
    script = head + "".join(_line(line, name, gpt=layout == "gpt") for line in lines)
    run("sfdisk", "--quiet", "--no-reread", str(path), said=script)
    return tuple(lines)


def _rows(layout: Layout, size: int, main: str) -> list[tuple[int, str, int, int]]:
    """Give each partition's number, role, start and end."""
    unit = CYLINDER if layout == "mbr63" else MIB
    end = (size - (MIB if layout == "gpt" else 0)) // unit * unit
    boot_end = -(-max(end // 8, BOOT) // unit) * unit
    main_end = end if main == "lvm" else end - SWAP - MIB
    if layout == "mbr63":
        main_end = main_end // unit * unit
        rows = [(1, "boot", 63 * SECTOR, boot_end), (2, main, boot_end, main_end), (3, "swap", main_end, end)]
    elif layout == "mbr2048":
        rows = [(1, "boot", MIB, boot_end), (2, "extended", boot_end, end)]
        rows += [(5, main, boot_end + MIB, main_end), (6, "swap", main_end + MIB, end)]
    else:
        rows = [(1, "bios", MIB, 2 * MIB), (2, "boot", 2 * MIB, boot_end)]
        rows += [(3, main, boot_end, main_end), (4, "swap", main_end, end)]
    return rows[:-1] if main == "lvm" else rows


def _line(line: Partition, name: str, *, gpt: bool) -> str:
    more = f", uuid={filesystem_uuid(name, f'partition {line.number}')}" if gpt else ""
    more += ", bootable" if line.role == "boot" and not gpt else ""
    return f"start={line.place.start // SECTOR}, size={line.place.size // SECTOR}, type={line.type}{more}\n"


def _lvm_uuid(*words: str) -> str:
    plain = hashlib.sha256("/".join(words).encode()).hexdigest()
    return "-".join(plain[start:end] for start, end in pairwise((0, 6, 10, 14, 18, 22, 26, 32)))


def _physical_volume(identity: str, size: int, text: bytes) -> bytes:
    """Build its first bytes as lvm2's lib/format_text/layout.h says: label in sector 1, metadata from 4096 on."""
    area = FIRST_EXTENT - 4096
    locations = (FIRST_EXTENT, 0, 0, 0, 4096, area, 0, 0)
    plain = identity.replace("-", "").encode()
    label = struct.pack("<I8s32s9Q2I", 32, b"LVM2 001", plain, size, *locations, 2, 1).ljust(
        SECTOR - 20, b"\0"
    )
    header = struct.pack(
        "<16sI4QII", b" LVM2 x[5A%r0N*>", 1, 4096, area, SECTOR, len(text), _checksum(text), 0
    ).ljust(SECTOR - 4, b"\0")
    sector = b"LABELONE" + struct.pack("<QI", 1, _checksum(label)) + label
    return (bytes(SECTOR) + sector).ljust(4096, b"\0") + struct.pack("<I", _checksum(header)) + header + text


def _checksum(content: bytes) -> int:
    """Do as zlib, but for the start value, and without inverting."""
    return zlib.crc32(content, 0xF597A6CF ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


def _metadata(group: str, places: Sequence[Stretch], volumes: Mapping[str, Sequence[Extents]]) -> bytes:
    parts = [_part_text(group, number, place) for number, place in enumerate(places)]
    inside = [_volume_text(group, name, pieces) for name, pieces in volumes.items()]
    return (
        f'{group} {{\nid = "{_lvm_uuid(group)}" seqno = 1 format = "lvm2"\n'
        f'status = ["RESIZEABLE", "READ", "WRITE"] flags = [] extent_size = {EXTENT // SECTOR}\n'
        "max_lv = 0 max_pv = 0 metadata_copies = 0\n"
        f"physical_volumes {{\n{''.join(parts)}}}\nlogical_volumes {{\n{''.join(inside)}}}\n}}\n"
        'contents = "Text Format Volume Group" version = 1 description = ""\n'
        'creation_host = "guest" creation_time = 1700000000\n\0'
    ).encode()


def _part_text(group: str, number: int, place: Stretch) -> str:
    return (
        f'pv{number} {{\nid = "{_lvm_uuid(group, f"pv{number}")}" device = "/dev/xvda{number}"\n'
        f'status = ["ALLOCATABLE"] flags = [] dev_size = {place.size // SECTOR}\n'
        f"pe_start = {FIRST_EXTENT // SECTOR} pe_count = {(place.size - FIRST_EXTENT) // EXTENT}\n}}\n"
    )


def _volume_text(group: str, name: str, pieces: Sequence[Extents]) -> str:
    segments, done = "", 0
    for number, piece in enumerate(pieces, 1):
        on = f"pv{piece.part}" if isinstance(piece.part, int) else piece.part
        segments += (
            f"segment{number} {{\nstart_extent = {done} extent_count = {piece.count}\n"
            f'type = "striped" stripe_count = 1 stripes = ["{on}", {piece.first}]\n}}\n'
        )
        done += piece.count
    return (
        f'{name} {{\nid = "{_lvm_uuid(group, name)}" status = ["READ", "WRITE", "VISIBLE"] flags = []\n'
        f"segment_count = {len(pieces)}\n{segments}}}\n"
    )
