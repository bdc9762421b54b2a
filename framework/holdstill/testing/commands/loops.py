"""losetup(8), as of util-linux 2.38."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from holdstill.testing.commands.arguments import Arguments, Refused
from holdstill.testing.kernel import Loop

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

VALUED = ("--offset", "--sizelimit", "--output", "--associated")
FLAGS = ("--find", "--show", "--read-only", "--json", "--list", "--detach")


def _losetup(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=VALUED, flags=FLAGS)
    if "--find" in given:
        return _attach(machine, given)
    if "--detach" in given:
        return _detach(machine, given.words[0])
    return _list(machine, given)


def _attach(machine: Machine, given: Arguments) -> str:
    store = given.words[0]
    if store not in machine.devices() and not Path(store).exists():
        raise Refused(1, f"losetup: {store}: failed to set up loop device: No such file or directory")
    taken = machine.kernel.loops
    path = next(path for number in range(1000) if (path := f"/dev/loop{number}") not in taken)
    taken[path] = Loop(
        store, int(given.get("--offset", "0")), int(given.get("--sizelimit", "0")), "--read-only" in given
    )
    return path + "\n"


def _detach(machine: Machine, path: str) -> str:
    """Detach; one that is in use stays until its last user is gone, and losetup says that all is well."""
    if path not in machine.kernel.loops:
        raise Refused(1, f"losetup: {path}: detach failed: No such device or address")
    machine.kernel.loops[path].clears = True
    clear(machine)
    return ""


def clear(machine: Machine) -> None:
    """Let go of loop devices that were detached while they were in use."""
    for path in [path for path, loop in machine.kernel.loops.items() if loop.clears]:
        if not machine.users(path):
            del machine.kernel.loops[path]


def _list(machine: Machine, given: Arguments) -> str:
    chosen = {
        path: loop
        for path, loop in machine.kernel.loops.items()
        if loop.store == given.get("--associated", loop.store)
    }
    if not chosen:
        return ""
    listed = [
        {"name": path, "offset": loop.start, "sizelimit": loop.size, "back-file": loop.store}
        for path, loop in chosen.items()
    ]
    columns = given["--output"].lower().split(",")
    return json.dumps({"loopdevices": [{column: entry[column] for column in columns} for entry in listed]})


COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {"losetup": _losetup}
