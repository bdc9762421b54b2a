"""What a configuration says, typed. Steps are still as written: which plugins there are is not known yet."""

from __future__ import annotations

from typing import Any

import msgspec

from holdstill.units import Duration


class GuestConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One guest: what its disks are, and how they are held and opened."""

    disks: list[str]
    "The guest's disks: logical volumes (``/dev/vg/lv``) or image files, absolute paths."
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
    lease: Duration = Duration(24 * 3600)
    "How long what «holdstill pre» holds waits for its «post» before it counts as abandoned."
    release_within: Duration = msgspec.field(default=Duration(60), name="release-within")
    "How long letting go is tried before it is reported as still held."


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """A whole configuration."""

    guests: dict[str, GuestConfig] = {}
    jobs: dict[str, JobConfig] = {}
