"""The words of the framework: what steps are given and what they give back.

Sizes and offsets are in bytes throughout; times are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Generic, Protocol, TypeAlias, TypeVar

import msgspec

from holdstill.facts import Fact


class Kind(StrEnum):
    """What a device is to its guest."""

    DISK = "disk"
    PARTITION = "partition"
    VOLUME = "volume"


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A block device that can be read: an origin, its snapshot, or something found inside one."""

    name: str
    "What people and messages call it: ``disk1``, ``disk1p2``, ``vg0/root``."
    path: str
    "Where it can be read; while it is not attached, the same as ``store``."
    size: int
    "Bytes."
    kind: Kind = Kind.DISK
    store: str
    "The file or device whose bytes these are; every map or loop device is made on it directly."
    start: int = 0
    "Where in ``store`` they begin, in bytes."
    content: str = ""
    "What blkid(8) calls its content: ``ext4``, ``LVM2_member``, ``swap``; empty when unknown."
    attached: bool = True
    "Whether ``path`` shows just this; otherwise it is what lies at ``start`` in ``store``, for others to attach."
    aliases: tuple[str, ...] = ()
    "What the guest's own fstab may call it: ``UUID=…``, ``LABEL=…``, ``/dev/mapper/vg0-root``."


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """A guest's files, readable at a path."""

    guest: str
    path: str


Source: TypeAlias = Device | Tree
Sources: TypeAlias = tuple[Source, ...]


class Exposed(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup can read of one guest."""

    guest: str
    sources: Sources

    @property
    def trees(self) -> tuple[str, ...]:
        """The folders with the guest's files."""
        return tuple(source.path for source in self.sources if isinstance(source, Tree))

    @property
    def devices(self) -> tuple[str, ...]:
        """What was not opened as files: raw volumes, swap, unknown content."""
        return tuple(source.path for source in self.sources if isinstance(source, Device))


class Role(StrEnum):
    """What a step is for. Its value is the word that the configuration uses."""

    QUIESCE = "quiesce"
    SNAPSHOT = "snapshot"
    OPEN = "open"
    BACKUP = "backup"
    VERIFY = "verify"


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Which run this is. ``id`` goes into the name of everything that the run makes."""

    id: str
    job: str
    session: str = "default"
    "What the caller keys its holds by; one job can be held for one session at a time."
    trees: str
    "The folder with this job's trees, the same for every run: ``/run/holdstill/JOB``."

    def tree(self, guest: str) -> str:
        """Where the files of ``guest`` appear."""
        return f"{self.trees}/{guest}"


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The options of a plugin that has none."""


O_co = TypeVar("O_co", bound=msgspec.Struct, covariant=True)
"The type of a plugin's options."


class Step(msgspec.Struct, Generic[O_co], frozen=True, kw_only=True):
    """One thing that the configuration asks of one plugin."""

    plugin: str
    role: Role
    options: O_co
    run: RunInfo
    guest: str = ""
    "Empty for the steps of a whole job: its backup and its verification."
    group: str = ""
    "Guests of one group are held at one moment; a guest by itself is a group of its own name."
    disks: tuple[Device, ...] = ()
    "The guest's origins: live, only to be looked at. None for the steps of a whole job."

    @property
    def title(self) -> str:
        """How messages name this step: ``guest web, open: mount``."""
        whose = f"guest {self.guest}" if self.guest else f"job {self.run.job}"
        return f"{whose}, {self.role}: {self.plugin}"


class Complaint(msgspec.Struct, frozen=True):
    """Something that a look found wrong, before anything was done."""

    sentence: str
    code: int = 69
    "An :class:`~holdstill.errors.ExitCode`; unavailable unless told otherwise."


class Promised(Protocol):
    """A promise that was made."""

    @property
    def number(self) -> int:
        """Which one of its run."""


class Hold(Protocol):
    """What a run holds on the host, as the steps see it."""

    def promise(self, what: str, /, *, by_hand: Sequence[str] | str, **facts: Fact) -> Promised:
        """Write down how a change is undone. When this returns, the record is on the disk.

        Call it **before** each change. ``what`` names the change to a person ("mount at /run/…");
        ``by_hand`` is what that person types to undo it: an argv, or a line for a shell where it takes
        more. ``facts`` go to ``holdstill_undo`` and ``holdstill_still``, perhaps in another process,
        perhaps after a reboot.

        Raises :class:`~holdstill.errors.StorageError` if it could not be written; then nothing may be changed.
        """

    def undone(self, promised: Promised, /) -> None:
        """Say that you have undone a change yourself: it was needed for a moment only."""


MakeSnapshots: TypeAlias = Callable[[Hold], tuple[Device, ...]]
"What makes the snapshots of one guest's disks, with the hold to promise to."


class Progress(Protocol):
    """Where a long step tells how far it is."""

    def begin(self, what: str, total: int) -> None:
        """Begin something that takes long; ``total`` is about how many bytes there are, 0 if not known."""

    def at(self, amount: int) -> None:
        """Say how many bytes of it are done."""
