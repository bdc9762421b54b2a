"""What a configuration says, typed. Steps are still as written: which plugins there are is not known yet."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from holdstill.errors import NotFoundError
from holdstill.text import nearest
from holdstill.units import Duration


class GuestConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One guest: what its disks are, and how they are held and opened."""

    disks: list[str]
    "The guest's disks: logical volumes (``/dev/vg/lv``) or image files, absolute paths."
    mounted_here: bool = msgspec.field(default=False, name="mounted-here")
    """Whether the disks may be mounted read-write on this host: they are volumes of its own, with a database on them.
    Otherwise that is refused, as it damages a running guest."""
    snapshot: Any = None
    "The plugin that makes the snapshots; ``lvm`` for devices and ``image`` for files if not given."
    open: Any = msgspec.field(default_factory=lambda: ["partitions", "guest-lv", "mount"])
    "The plugins that open the snapshots, in order."
    quiesce: Any = msgspec.field(default_factory=list)
    "The plugins that make the guest quiet while its snapshots are made, in order."


class JobConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One job: which guests, how they are backed up, and how the backup is verified."""

    guests: list[str | list[str]]
    "Names from ``guests``; those in a list of their own are held at one moment."
    backup: Any = None
    "The plugin that makes the backup with «holdstill run»; none for a job that others call by pre and post."
    verify: Any = None
    "The plugins that verify the backup; the backup's own check if not given, none with ``[]``."
    around: Any = msgspec.field(default_factory=list)
    "The plugins that take part in the job's phases; one that is named here is not taken from those of every job."
    lease: Duration = Duration(24 * 3600)
    "How long what «holdstill pre» holds waits for its «post» before it counts as abandoned."
    if_held: Literal["fail", "release", "take"] = msgspec.field(default="fail", name="if-held")
    """What a run that finds the job held for another session does. ``fail``: it fails. ``release``: it lets go of what
    is held, and goes on, unless somebody has it open at that moment. ``take``: also if somebody has."""
    quiet_budget: Duration | None = msgspec.field(default=None, name="quiet-budget")
    """How long a guest, or guests that are held at one moment, may be quiet in all: what is still quiet then lets go by
    itself. Each ``quiesce`` step has a limit of its own besides."""
    backup_within: Duration | None = msgspec.field(default=None, name="backup-within")
    "How long the backup may take before it is ended and has failed; as long as it takes if not given."
    verify_within: Duration | None = msgspec.field(default=None, name="verify-within")
    "How long the verification may take, all of its steps together; as long as it takes if not given."
    release_within: Duration = msgspec.field(default=Duration(60), name="release-within")
    "How long letting go is tried before it is reported as still held."

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all guests, in order."""
        groups = [[entry] if isinstance(entry, str) else entry for entry in self.guests]
        return tuple(name for group in groups for name in group)


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration."""

    guests: dict[str, GuestConfig] = {}
    "What can be held."
    jobs: dict[str, JobConfig] = {}
    "What is held together, for which backup."
    around: Any = msgspec.field(default_factory=list)
    "The plugins that take part in the phases of every job."

    def job(self, name: str) -> JobConfig | None:
        """Give a job; ``None`` if what is written of it does not fit. Raises NotFoundError if there is none."""
        if name not in self.jobs:
            known = ", ".join(self.jobs) or "none"
            raise NotFoundError(
                f"There is no job {name!r}{nearest(name, self.jobs) or '.'} Known are: {known}."
            )
        return self.jobs[name]
