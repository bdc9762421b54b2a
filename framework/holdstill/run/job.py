"""A job, resolved: every step with its plugin and its typed options."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from holdstill.config.document import Route
from holdstill.config.model import Config, GuestConfig, JobConfig
from holdstill.config.typed import Typist
from holdstill.errors import HoldstillError
from holdstill.plugins.registry import Registry
from holdstill.text import nearest
from holdstill.words import Role, RunInfo, Step


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """A guest with its steps."""

    name: str
    disks: tuple[str, ...]
    mounted_here: bool = False
    "Whether they may be mounted read-write on this host."
    quiesce: tuple[Step[Any], ...]
    snapshot: Step[Any]
    open: tuple[Step[Any], ...]

    @property
    def steps(self) -> tuple[Step[Any], ...]:
        """All steps, in the order in which they are taken."""
        return (*self.quiesce, self.snapshot, *self.open)

    def with_steps(self, **changes: Any) -> Guest:
        """Give the guest with something changed in each of its steps."""
        changed = [msgspec.structs.replace(step, **changes) for step in self.steps]
        first = len(self.quiesce)
        return msgspec.structs.replace(
            self, quiesce=tuple(changed[:first]), snapshot=changed[first], open=tuple(changed[first + 1 :])
        )


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job with its guests and steps."""

    groups: tuple[tuple[Guest, ...], ...]
    "Guests that are held at one moment, group by group; most are groups of one."
    backup: Step[Any] | None
    verify: tuple[Step[Any], ...]
    around: tuple[Step[Any], ...] = ()
    "Plugins that take part in the phases of this job."
    lease: float
    if_held: str = "fail"
    quiet_budget: float = math.inf
    "Seconds that guests which are held at one moment may be quiet, all in all."
    release_within: float
    backup_within: float | None = None
    verify_within: float | None = None

    @property
    def guests(self) -> tuple[Guest, ...]:
        """All guests."""
        return tuple(guest for group in self.groups for guest in group)


class Resolver:
    """Turns what is written of one job into steps of plugins that are there."""

    def __init__(self, config: Config, plugins: Registry, typist: Typist, info: RunInfo) -> None:
        self._config = config
        self._plugins = plugins
        self._typist = typist
        self._info = info

    def job(self) -> Job | None:
        """Give the job, or ``None`` after complaining of all that is wrong with it.

        Raises NotFoundError if there is no job of that name.
        """
        written = self._config.job(self._info.job)
        if written is None:
            return None
        place = (*self._route, "guests")
        named = [[entry] if isinstance(entry, str) else entry for entry in written.guests]
        self._no_doubles([*written.names], place)
        groups = [self._group(group, (*place, at)) for at, group in enumerate(named)]
        if not any(groups):
            self._typist.complain(self._route, f"the job {self._info.job!r} has no guests")
        return self._whole(written, groups)

    def _group(self, names: list[str], route: Route) -> list[Guest | None]:
        """Give guests that are held at one moment; the group is called by all their names."""
        group = "+".join(names)
        return [self._guest(name, route, group) for name in names]

    def _no_doubles(self, names: list[str], place: Route) -> None:
        for at, name in enumerate(names):
            if name in names[:at]:
                self._typist.complain((*place, at), f"{name!r} is named twice")

    @property
    def _route(self) -> Route:
        return ("jobs", self._info.job)

    def _whole(self, written: JobConfig, groups: list[list[Guest | None]]) -> Job | None:
        named = written.backup is not None
        backup = self._step(written.backup, Role.BACKUP, (*self._route, "backup")) if named else None
        verify = self._verify(written, backup)
        around = self._around(written)
        if any(None in group for group in groups) or None in (*verify, *around) or (named and not backup):
            return None
        return Job(
            groups=tuple(tuple(guest for guest in group if guest) for group in groups),
            backup=backup,
            verify=tuple(step for step in verify if step),
            around=tuple(step for step in around if step),
            lease=float(written.lease),
            if_held=written.if_held,
            quiet_budget=float(math.inf if written.quiet_budget is None else written.quiet_budget),
            release_within=float(written.release_within),
            backup_within=written.backup_within,
            verify_within=written.verify_within,
        )

    def _verify(self, written: JobConfig, backup: Step[Any] | None) -> list[Step[Any] | None]:
        """Give the verifying steps; the bare name of the backup's own plugin means its own check, as does nothing."""
        if written.verify is None:
            own = backup and self._plugins.implements(backup.plugin, "holdstill_verify_backup")
            return [backup] if own else []
        place = (*self._route, "verify")
        entries = written.verify if isinstance(written.verify, list) else [written.verify]
        return [
            backup if backup and entry == backup.plugin else self._step(entry, Role.VERIFY, (*place, at))
            for at, entry in enumerate(entries)
        ]

    def _around(self, written: JobConfig) -> list[Step[Any] | None]:
        """Give the plugins around the job: those of every job first, unless it names them itself."""
        own = self._steps(written.around, Role.AROUND, (*self._route, "around"))
        named = [step.plugin for step in own if step]
        for name in {name for name in named if named.count(name) > 1}:
            self._typist.complain((*self._route, "around"), f"{name!r} is named twice")
        everywhere = self._steps(self._config.around, Role.AROUND, ("around",))
        return [*(step for step in everywhere if step is None or step.plugin not in named), *own]

    def _guest(self, name: str, route: Route, group: str) -> Guest | None:
        if name not in self._config.guests:
            self._typist.complain(route, f"there is no guest {name!r}{nearest(name, self._config.guests)}")
            return None
        written, place = self._config.guests[name], ("guests", name)
        if written is None or not self._disks_fit(written, place):
            return None
        snapshot = self._step(
            written.snapshot or _snapshot_for(written), Role.SNAPSHOT, (*place, "snapshot"), name
        )
        opens = self._steps(written.open, Role.OPEN, (*place, "open"), name)
        quiesce = self._steps(written.quiesce, Role.QUIESCE, (*place, "quiesce"), name)
        if snapshot is None or None in opens or None in quiesce:
            return None
        guest = Guest(
            name=name,
            disks=tuple(written.disks),
            mounted_here=written.mounted_here,
            quiesce=tuple(step for step in quiesce if step),
            snapshot=snapshot,
            open=tuple(step for step in opens if step),
        )
        return guest.with_steps(group=group)

    def _disks_fit(self, written: GuestConfig, place: Route) -> bool:
        self._no_doubles(written.disks, (*place, "disks"))
        bad = [disk for disk in written.disks if not disk.startswith("/")]
        for disk in bad:
            self._typist.complain((*place, "disks"), f"the disk {disk!r} is not an absolute path")
        if not written.disks:
            self._typist.complain((*place, "disks"), "a guest needs at least one disk")
        return bool(written.disks) and not bad

    def _steps(self, written: object, role: Role, route: Route, guest: str = "") -> list[Step[Any] | None]:
        entries = written if isinstance(written, list) else [written]
        return [self._step(entry, role, (*route, at), guest) for at, entry in enumerate(entries)]

    def _step(self, written: object, role: Role, route: Route, guest: str = "") -> Step[Any] | None:
        if isinstance(written, str):
            written = {written: None}
        if not (isinstance(written, dict) and len(written) == 1):
            self._typist.complain(
                route, f"{role} is a plugin's name, or 'NAME: {{options}}', not {written!r}"
            )
            return None
        [(name, options)] = written.items()
        if name not in self._plugins.names(role):
            self._typist.complain((*route, name), self._plugins.absent(name, str(role)))
            return None
        typed = self._options(name, options, (*route, name))
        if typed is None:
            return None
        return Step(plugin=name, role=role, options=typed, run=self._info, guest=guest)

    def _options(self, name: str, written: object, route: Route) -> msgspec.Struct | None:
        try:
            return self._typist.struct(self._plugins.options_of(name), written, route)
        except HoldstillError as error:
            self._typist.complain(route, str(error))
            return None


def _snapshot_for(guest: GuestConfig) -> str:
    return "lvm" if all(disk.startswith("/dev/") for disk in guest.disks) else "image"
