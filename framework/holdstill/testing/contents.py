"""What is on a modelled disk. Offsets and sizes are in bytes from the beginning of what it is in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

MIB = 1 << 20


@dataclass(frozen=True)
class FileSystem:
    """A file system with its files."""

    kind: str = "ext4"
    uuid: str = ""
    label: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    "Path to text; a path that ends in ``/`` is an empty folder, a text that begins with ``-> `` a link."
    dirty: bool = True
    "Whether its journal must be replayed, as after a crash: a snapshot of a running guest's always must."


@dataclass(frozen=True)
class Swap:
    """Swap space."""

    kind: str = "swap"
    uuid: str = ""
    label: str = ""


@dataclass(frozen=True)
class GuestVolume:
    """A logical volume inside a physical volume."""

    name: str
    "In brackets if it is hidden: only a part of others."
    content: Content
    first: int
    "Its first extent; of no meaning where it lies on other volumes."
    extents: int
    segtype: str = "linear"
    on: tuple[str, ...] = ()
    "The hidden volumes with its data, if it lies on such: a RAID volume's legs, a pool's data, "
    metadata: tuple[str, ...] = ()
    "and those with its metadata."
    pool: str = ""
    "The pool of a thin volume, all of whose data is there from its beginning."


@dataclass(frozen=True)
class PhysicalVolume:
    """A physical volume with the whole of a volume group on it."""

    group: str
    volumes: tuple[GuestVolume, ...]
    uuid: str = "PV0001-aaaa"
    extent: int = 4 * MIB
    begin: int = MIB
    "Where the first extent begins (LVM's ``pe_start``)."
    kind: str = "LVM2_member"
    label: str = ""


@dataclass(frozen=True)
class Partition:
    """A partition."""

    start: int
    size: int
    content: Content
    uuid: str = ""


@dataclass(frozen=True)
class Table:
    """A disk with a partition table."""

    partitions: tuple[Partition, ...]
    sector: int = 512
    "What the table counts in: it says nothing of it itself, and modelled devices have sectors of 512 bytes."
    kind: str = ""
    uuid: str = ""
    label: str = ""


@dataclass(frozen=True)
class Qcow2:
    """A qcow2 file: what is inside shows only where it is served."""

    inside: Content
    told: Mapping[str, object] = field(default_factory=dict)
    "What else «qemu-img info» tells."
    kind: str = ""
    uuid: str = ""
    label: str = ""


@dataclass(frozen=True)
class Nothing:
    """Zeros."""

    kind: str = ""
    uuid: str = ""
    label: str = ""


Content: TypeAlias = "FileSystem | Swap | PhysicalVolume | Table | Qcow2 | Nothing"


def at(content: Content, start: int) -> Content:
    """Give what begins at ``start`` inside ``content``."""
    if start == 0:
        return content
    if isinstance(content, Table):
        for partition in content.partitions:
            if partition.start <= start < partition.start + partition.size:
                return at(partition.content, start - partition.start)
    if isinstance(content, PhysicalVolume):
        for volume in content.volumes:
            if not (volume.on or volume.pool) and content.begin + volume.first * content.extent == start:
                return volume.content
    return Nothing()


ROOT = FileSystem(
    "ext4",
    uuid="11111111-aaaa",
    label="root",
    files={
        "etc/fstab": "/dev/mapper/vg_guest1-root / ext4 defaults 0 1\n/dev/xvda1 /boot ext3 defaults 0 2\n",
        "etc/hostname": "web\n",
        "boot/": "",
        "var/log/messages": "all is well\n",
    },
)
BOOT = FileSystem("ext3", uuid="22222222-bbbb", label="boot", files={"vmlinuz": "a kernel\n"})


def classic_disk() -> Table:
    """A disk as the 2009 script's users have it: MBR, /boot at sector 63, the rest a volume group with the root."""
    volumes = (
        GuestVolume("root", ROOT, first=0, extents=40),
        GuestVolume("swap", Swap(), first=40, extents=4),
    )
    return Table(
        (
            Partition(63 * 512, 48 * MIB, BOOT),
            Partition(98816 * 512, 200 * MIB, PhysicalVolume("vg_guest1", volumes)),
        )
    )


def layered_disk() -> Table:
    """A disk with the root on a mirror, and /srv on a thin volume."""
    fstab = "/dev/vg0/root / ext4 defaults 0 1\n/dev/vg0/srv /srv ext4 defaults 0 2\n"
    root = FileSystem("ext4", uuid="55555555-eeee", files={"etc/fstab": fstab, "srv/": ""})
    srv = FileSystem("ext4", uuid="66666666-ffff", files={"data": "1\n"})
    legs, metas = ("root_rimage_0", "root_rimage_1"), ("root_rmeta_0", "root_rmeta_1")
    hidden = [
        GuestVolume(f"[{name}]", content, first, extents)
        for name, content, first, extents in (
            (metas[0], Nothing(), 0, 1),
            (legs[0], root, 1, 10),
            (metas[1], Nothing(), 11, 1),
            (legs[1], root, 12, 10),
            ("pool_tmeta", Nothing(), 22, 1),
            ("pool_tdata", srv, 23, 10),
        )
    ]
    volumes = (
        GuestVolume("root", root, 0, 10, "raid1", on=legs, metadata=metas),
        GuestVolume("pool", srv, 0, 10, "thin-pool", on=("pool_tdata",), metadata=("pool_tmeta",)),
        GuestVolume("srv", srv, 0, 5, "thin", pool="pool"),
        *hidden,
    )
    return Table((Partition(MIB, 200 * MIB, PhysicalVolume("vg0", volumes)),))


def partitioned_disk() -> Table:
    """A disk without volumes: /boot and the root on partitions, told apart only by what is on them."""
    files = {
        **ROOT.files,
        "etc/fstab": "LABEL=root / ext4 defaults 0 1\nUUID=22222222-bbbb /boot ext3 defaults 0 2\n",
    }
    root = FileSystem("ext4", uuid="44444444-dddd", label="root", files=files)
    return Table((Partition(MIB, 50 * MIB, BOOT), Partition(51 * MIB, 100 * MIB, root)))


def plain_disk() -> Table:
    """A disk with one partition, and the root on it."""
    root = FileSystem("ext4", uuid="33333333-cccc", files={"etc/hostname": "plain\n", "srv/data": "1\n"})
    return Table((Partition(2048 * 512, 100 * MIB, root, uuid="abcd-01"),))
