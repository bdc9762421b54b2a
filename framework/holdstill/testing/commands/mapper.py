"""dmsetup(8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from holdstill.testing.commands.arguments import Arguments, Refused
from holdstill.testing.commands.loops import clear

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

SECTOR = 512


def _dmsetup(machine: Machine, arguments: list[str]) -> str:
    return {"version": _version, "info": _info, "create": _create, "remove": _remove}[arguments[0]](
        machine, arguments[1:]
    )


def _version(machine: Machine, arguments: list[str]) -> str:
    del machine, arguments
    return "Library version: 1.02\nDriver version: 4.47\n"


def _info(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--options"], flags=["--columns", "--noheadings"])
    maps = machine.kernel.maps
    if not given.words:
        return "\n".join(maps) + "\n"
    [name] = given.words
    if name not in maps:
        raise Refused(1, "Device does not exist.")
    return f"{maps[name].uuid}\n"


def _create(machine: Machine, arguments: list[str]) -> str:
    from holdstill.testing.machine import Map

    given = Arguments(arguments, valued=["--uuid", "--table"])
    [name] = given.words
    if name in machine.kernel.maps:
        raise Refused(1, f"device-mapper: create ioctl on {name} failed: Device or resource busy")
    lines = [line.split() for line in given["--table"].splitlines()]
    machine.kernel.maps[name] = Map(
        given["--uuid"], tuple((int(line[1]) * SECTOR, line[3], int(line[4]) * SECTOR) for line in lines)
    )
    return ""


def _remove(machine: Machine, arguments: list[str]) -> str:
    [name] = Arguments(arguments, flags=["--retry"]).words
    if machine.users(f"/dev/mapper/{name}"):
        raise Refused(1, f"device-mapper: remove ioctl on {name} failed: Device or resource busy")
    del machine.kernel.maps[name]
    clear(machine)
    return ""


COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {"dmsetup": _dmsetup}
