"""What a command has done when it is killed in the middle.

Only what was seen of the real ones, or follows from how they work. A command that is not here does its work with one
call of the kernel's: it is done or not.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from holdstill.testing.commands import lvm
from holdstill.testing.kernel import Map, Volume, map_name

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine


def do_a_part(machine: Machine, argv: tuple[str, ...]) -> None:
    """Do what a command has done when it is killed."""
    part = machine.tools[argv[0]].part if argv[0] in machine.tools else PARTS.get(argv[0])
    if part:
        part(machine, list(argv[1:]))


def _lvcreate(machine: Machine, arguments: list[str]) -> None:
    """The volume is there with its tags, but as a plain one; the origin is suspended, and a second table waits."""
    origin, name = arguments[-1], arguments[arguments.index("--name") + 1]
    tags = tuple(after for word, after in pairwise(arguments) if word == "--addtag")
    volume = f"{origin.partition('/')[0]}/{name}"
    if volume not in machine.kernel.volumes:
        machine.kernel.volumes[volume] = Volume(machine.kernel.volumes[origin].size, tags)
        machine.kernel.contents[f"/dev/{volume}"] = machine.kernel.contents[f"/dev/{origin}"]
    machine.kernel.half_made.add(_suspended(machine, origin))


def _lvremove(machine: Machine, arguments: list[str]) -> None:
    """Of several snapshots, all but the last are removed; that is not, but its origin is suspended."""
    *before, last = lvm.lvremove_arguments(arguments).words
    if before:
        _perform(machine, "lvremove", arguments[:-1])
    if (snapshot := machine.kernel.volumes.get(last)) and snapshot.origin:
        _suspended(machine, snapshot.origin)


def _suspended(machine: Machine, volume: str) -> str:
    """Suspend a volume's map; give its name."""
    name = map_name(volume)
    machine.kernel.suspended.add(name)
    return name


def _dmsetup(machine: Machine, arguments: list[str]) -> None:
    """A map is there without a table; of several that are suspended or resumed at once, the first is."""
    if arguments[0] == "create":
        name, uuid = arguments[-1].split(",")[:2]
        machine.kernel.maps.setdefault(name, Map(uuid, ()))
    maps = list(takewhile(lambda word: not word.startswith("-"), reversed(arguments[1:])))
    if arguments[0] == "suspend":
        machine.kernel.suspended.add(maps[-1])
    if arguments[0] == "resume":
        machine.kernel.suspended.discard(maps[-1])


def _kpartx(machine: Machine, arguments: list[str]) -> None:
    """The first of several partitions is mapped, or not any more."""
    _first_only(machine, lambda: _perform(machine, "kpartx", arguments), adds="-a" in arguments)


def _vgchange(machine: Machine, arguments: list[str]) -> None:
    """The first of several volumes is active, or not any more."""
    imported = dict(machine.kernel.imported)
    adds = "y" in arguments
    _first_only(machine, lambda: _perform(machine, "vgchange", arguments), adds=adds)
    machine.kernel.imported = imported


def _first_only(machine: Machine, work: Callable[[], None], *, adds: bool) -> None:
    before = dict(machine.kernel.maps)
    work()
    after = machine.kernel.maps
    changed = [name for name in {**before, **after} if (name in before) != (name in after)]
    for name in changed[1:]:
        if adds:
            del after[name]
        else:
            after[name] = before[name]


def _perform(machine: Machine, name: str, arguments: list[str]) -> None:
    from holdstill.testing.commands import perform

    perform(machine, (name, *arguments))


def _cp(machine: Machine, arguments: list[str]) -> None:
    """The copy is there, and empty."""
    del machine
    Path(arguments[-1]).touch()


PARTS: dict[str, Callable[[Machine, list[str]], None]] = {
    "cp": _cp,
    "dmsetup": _dmsetup,
    "kpartx": _kpartx,
    "lvcreate": _lvcreate,
    "lvremove": _lvremove,
    "vgchange": _vgchange,
}
