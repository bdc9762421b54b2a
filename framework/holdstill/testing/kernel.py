"""What a modelled kernel knows: loop devices, volumes, maps and mounts, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from holdstill.testing.contents import Content

READER = 4_000_000
"The process id of whoever keeps things open: larger than any of this kernel's own."
FENCED = {
    "global_filter": '["r|^/dev/mapper/(holdstill-|.*-hs_|(loop|nbd)[0-9])|","r|^/dev/(loop|nbd)[0-9]|"]',
    "filter": '["a|.*|"]',
    "use_devicesfile": "0",
    "devicesfile": '"system.devices"',
}
"Settings of LVM's by which the host does not look at what is a guest's."


@dataclass
class Loop:
    """An attached loop device. Sizes and offsets are in bytes."""

    store: str
    start: int = 0
    size: int = 0
    read_only: bool = False
    clears: bool = False
    "Whether it goes by itself when its last user does."


@dataclass
class Volume:
    """A logical volume of the host."""

    size: int
    tags: tuple[str, ...] = ()
    origin: str = ""
    room: int = 0
    "A thick snapshot's own size."
    used: int = 0
    "How much of that is used."
    layout: str = "linear"
    "What LVM calls the way it lies on its devices."
    pool: str = ""
    invalid: bool = False

    def pool_of(self, name: str) -> str:
        """``VG/POOL`` of the thin volume ``VG/LV``; empty for a thick one."""
        return f"{name.partition('/')[0]}/{self.pool}" if self.pool else ""


@dataclass
class Map:
    """A device-mapper map: its lines as (length, device, start), in bytes; further devices of a line have no length."""

    uuid: str
    lines: tuple[tuple[int, str, int], ...]


@dataclass
class Mount:
    """A mount."""

    point: str
    source: str


@dataclass
class Nbd:
    """A served NBD device."""

    image: str
    shown: bool = True
    "Whether the kernel shows yet who serves it."
    partitions: bool = True
    "Whether the kernel has devices of its own for the partitions, which the host's LVM sees."


@dataclass
class Service:
    """A service with one process: a unit of systemd's, or one that an init script controls."""

    pid: int
    running: bool = True
    opens: set[str] = field(default_factory=set)
    "Mount points and devices that its process keeps open."
    enabled: bool = True
    "Whether it is started when the machine boots."
    starts: bool = True
    "Whether it runs after it was started."
    after: str = "system.slice basic.target"
    "The units that it is ordered after: while we are in one of them, systemd does not start it."

    def stop(self) -> None:
        """End its process."""
        self.running, self.opens = False, set()

    def start(self) -> None:
        """Start its process, unless it runs."""
        self.running = self.running or self.starts


@dataclass
class Kernel:
    """Everything that a reboot or a command changes, apart from files."""

    loops: dict[str, Loop] = field(default_factory=dict)
    maps: dict[str, Map] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    mounted_at_boot: list[Mount] = field(default_factory=list)
    volumes: dict[str, Volume] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    "Free bytes of each volume group."
    missing: dict[str, int] = field(default_factory=dict)
    "How many devices a volume group lacks, if it does."
    contents: dict[str, Content] = field(default_factory=dict)
    "What is on each store: an image's path, or a volume's."
    imported: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    "Guest groups under a private name: their own name, and the devices they are on."
    suspended: set[str] = field(default_factory=set)
    "Names of maps that hang until somebody resumes them, as a killed LVM command can leave an origin's."
    half_made: set[str] = field(default_factory=set)
    "Names of maps for which a second table waits: resumed into it, a guest would get an I/O error."
    at_work: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    "Commands that nobody waits for, with the id of the run that started each."
    nbds: dict[str, Nbd] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    "Units by their full names, and services of init scripts by theirs."
    shutdown: str = ""
    "What systemd-logind has scheduled."
    frozen: set[str] = field(default_factory=set)
    "What is quiet until somebody lets it go: mount points, guests, applications."
    own: dict[str, Any] = field(default_factory=dict)
    "What commands remember that a plugin's author adds; a boot changes nothing of it."
    boot: int = 1


def map_name(volume: str) -> str:
    """``VG/LV`` as device-mapper names it: dashes doubled."""
    return volume.replace("-", "--").replace("/", "-")
