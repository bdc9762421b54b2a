"""The words of the framework: what steps are given and what they give back.

Sizes and offsets are in bytes throughout; times are in seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum, StrEnum
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

import msgspec

from holdstill.facts import Fact
from holdstill.units import Duration


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
    kept: tuple[str, ...] = ()
    "Small files beside the trees that a restore may need: what was kept of the guest's databases when it was held."

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
    AROUND = "around"


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


class QuiesceOptions(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What the options of every plugin that quiesces have, by deriving from it; the framework minds them, too."""

    within: Duration = Duration(60)
    "How long becoming quiet may take."
    at_most: Duration = Duration(30)
    "How long it stays quiet at the most: then it lets go by itself, wherever the run is."
    if_not_quiet: Literal["fail", "crash-consistent"] = "fail"
    """What becomes of a job in which it does not become quiet, or not for all of the snapshot: it fails, or it goes on
    with a snapshot that is as after a power cut. It fails in any case if it cannot be let go of."""


class Quieted(msgspec.Struct, frozen=True, kw_only=True):
    """How long an application was quiet, or why it was not."""

    guest: str
    plugin: str
    seconds: float = 0
    "From when it was quiet until it had been let go of."
    why_not: str = ""
    "Why it was not quiet for all of the snapshot, which is then only as after a power cut; empty if it was."


O_co = TypeVar("O_co", bound=msgspec.Struct, covariant=True)
"The type of a plugin's options."


class Step(msgspec.Struct, Generic[O_co], frozen=True, kw_only=True):
    """One thing that the configuration asks of one plugin."""

    plugin: str
    role: Role
    options: O_co
    run: RunInfo
    guest: str = ""
    "Empty for the steps of a whole job: its backup, its verification, and what is around."
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


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What strays are told by: things of runs that no journal of this host knows."""

    runs: tuple[RunInfo, ...]
    "The runs whose journals are there and can be read: what is theirs is no stray."
    disks: tuple[str, ...]
    "The disks of all guests that are configured, as far as that can be read."
    trees: str
    "The folder with the folders of all jobs' trees: ``/run/holdstill``."

    def is_stray(self, run: str) -> bool:
        """Tell whether a run's id is one that no journal knows; empty, it is nobody's."""
        return bool(run) and all(known.id != run for known in self.runs)

    def is_stray_tree(self, path: str) -> bool:
        """Tell whether a path is in the folder with the trees, but not where a known run's trees are."""
        inside = path.startswith(f"{self.trees}/")
        return inside and not any(
            f"{path}/".startswith(f"{known.trees}/") for known in self.runs if known.trees
        )


class Layer(IntEnum):
    """Where a stray is, from the top down: in this order they are let go of."""

    MOUNT = 0
    VOLUME = 1
    "What is mapped, or activated, of a guest's volume group."
    PARTITION = 2
    DEVICE = 3
    "What a disk or a part of it is attached as: a loop device."
    SNAPSHOT = 4
    "A snapshot or a copy, and what serves it."
    FOLDER = 5


class Stray(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a run made, and that no journal of this host knows."""

    what: str
    "As a promise would name it to a person."
    by_hand: str
    "A line for root's shell."
    layer: Layer
    run: str = ""
    "The run's id, if the thing bears it."


class Promised(Protocol):
    """A promise that was made."""

    @property
    def number(self) -> int:
        """Which one of its run."""


class Hold(Protocol):
    """What a run holds on the host, as the steps see it."""

    def promise(
        self, what: str, /, *, by_hand: Sequence[str] | str, afterwards: bool = False, **facts: Fact
    ) -> Promised:
        """Write down how a change is undone. When this returns, the record is on the disk.

        Call it **before** each change. ``what`` names the change to a person ("mount at /run/…");
        ``by_hand`` is what that person types to undo it: an argv, or a line for a shell where it takes
        more. ``facts`` go to ``holdstill_undo`` and ``holdstill_still``, perhaps in another process,
        perhaps after a reboot. A promise is kept before those that were made earlier; ``afterwards``, when all
        others are kept or have finally failed, as for a service that was stopped to let go.

        Raises :class:`~holdstill.errors.StorageError` if it could not be written, and
        :class:`~holdstill.errors.PluginBugError` if your plugin has no ``holdstill_undo``; then nothing may be changed.
        """

    def undone(self, promised: Promised, /) -> None:
        """Say that you have undone a change yourself: it was needed for a moment only."""

    def keep(self, name: str, text: str, /) -> None:
        """Keep a small text of the guest with the run, for whoever restores: a database's position, its label.

        It is in the file ``GUEST@NAME`` beside the guests' trees while they are held, among ``kept`` of what is
        exposed, which backups take along, and in the outcome.
        """


MakeSnapshots: TypeAlias = Callable[[Hold], tuple[Device, ...]]
"What makes the snapshots of one guest's disks, with the hold to promise to."


class Progress(Protocol):
    """Where a long step tells how far it is."""

    def begin(self, what: str, total: int) -> None:
        """Begin something that takes long; ``total`` is about how many bytes there are, 0 if not known."""

    def at(self, amount: int) -> None:
        """Say how many bytes of it are done."""
