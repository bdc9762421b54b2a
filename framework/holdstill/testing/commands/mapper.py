"""dmsetup(8)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from holdstill.testing.commands.arguments import Arguments, Refused
from holdstill.testing.commands.loops import clear
from holdstill.testing.kernel import Map, map_name

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

SECTOR = 512


def _dmsetup(machine: Machine, arguments: list[str]) -> str:
    return KINDS[arguments[0]](machine, arguments[1:])


def _version(machine: Machine, arguments: list[str]) -> str:
    del machine, arguments
    return "Library version: 1.02\nDriver version: 4.47\n"


def _info(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--options", "--separator"], flags=["--columns", "--noheadings"])
    fields = given["--options"].split(",")
    names = given.words or [*machine.kernel.maps, *machine.volume_maps()]
    if not set(names) <= {*machine.kernel.maps, *machine.volume_maps()}:
        raise Refused(1, "Device does not exist.")
    return "".join(f"{' '.join(_column(machine, name, field) for field in fields)}\n" for name in names)


def _column(machine: Machine, name: str, field: str) -> str:
    if field == "uuid":
        return machine.kernel.maps[name].uuid if name in machine.kernel.maps else f"LVM-{name}"
    tables = "Both" if name in machine.kernel.half_made else "Live"
    columns = {"name": name, "suspended": _suspended(machine, name), "tables_loaded": tables}
    return {**columns, "names_using_dev": "", "open": str(_openers(machine, name))}[field]


def _openers(machine: Machine, name: str) -> int:
    return 1 if name.endswith("-real") else len(machine.users(f"/dev/mapper/{name}"))


def _suspended(machine: Machine, name: str) -> str:
    return "Suspended" if name in machine.kernel.suspended else "Active"


def _suspend(machine: Machine, arguments: list[str]) -> str:
    machine.kernel.suspended |= set(Arguments(arguments, flags=["--nolockfs"]).words)
    return ""


def _resume(machine: Machine, arguments: list[str]) -> str:
    if half_made := machine.kernel.half_made & set(arguments):
        raise AssertionError(f"the guest on {half_made} gets an I/O error")
    machine.kernel.suspended -= set(arguments)
    return ""


def _clear(machine: Machine, arguments: list[str]) -> str:
    machine.kernel.half_made -= set(arguments)
    return ""


def _status(machine: Machine, arguments: list[str]) -> str:
    [name] = arguments
    for full, volume in machine.kernel.volumes.items():
        if map_name(full) == name:
            if volume.pool:
                return f"0 {volume.size // SECTOR} thin 2048 {volume.size // SECTOR - 1}\n"
            sectors = f"{volume.used // SECTOR}/{volume.room // SECTOR}"
            return f"0 {volume.size // SECTOR} snapshot {'Invalid' if volume.invalid else sectors} 16\n"
    raise Refused(1, "Device does not exist.")


def _create(machine: Machine, arguments: list[str]) -> str:
    name, uuid, _, _, *table = Arguments(arguments, valued=["--concise"])["--concise"].split(",")
    if name in machine.kernel.maps:
        raise Refused(1, f"device-mapper: create ioctl on {name} failed: Device or resource busy")
    lines = tuple(line for words in table for line in _lines(words.split()))
    if missing := [device for _, device, _ in lines if device not in machine.devices()]:
        raise Refused(1, f"device-mapper: reload ioctl on {name} failed: no {missing[0]}")
    machine.kernel.maps[name] = Map(uuid, lines)
    return ""


def _lines(words: list[str]) -> list[tuple[int, str, int]]:
    """Give a line for each device that one line of a table names: the one with the data first, and the length there.

    A RAID volume or a pool names the metadata before the data; what lies on other maps begins where they do.
    """
    target, rest = words[2], words[3:]
    places = [number for number, word in enumerate(rest) if word.startswith("/")]
    if target in {"raid", "thin-pool"}:
        places = [places[1], places[0], *places[2:]]
    starts = [int(rest[number + 1]) * SECTOR if target in {"linear", "striped"} else 0 for number in places]
    lengths = [int(words[1]) * SECTOR] + [0] * len(places)
    return [
        (length, rest[number], start) for number, start, length in zip(places, starts, lengths, strict=False)
    ]


def _message(machine: Machine, arguments: list[str]) -> str:
    name, sector, word = arguments
    if name not in machine.kernel.maps or (sector, word) != ("0", "frozen"):
        raise Refused(1, f"device-mapper: message ioctl on {name} failed: Invalid argument")
    return ""


def _remove(machine: Machine, arguments: list[str]) -> str:
    [name] = Arguments(arguments, flags=["--retry"]).words
    if name not in machine.kernel.maps:
        raise Refused(1, "Device does not exist.")
    if machine.users(f"/dev/mapper/{name}"):
        raise Refused(1, f"device-mapper: remove ioctl on {name} failed: Device or resource busy")
    del machine.kernel.maps[name]
    clear(machine)
    return ""


def shown(machine: Machine, path: str) -> str | None:
    """What a file of the kernel's about its maps says; ``None`` for any other file."""
    if path == "/proc/misc":
        return " 236 device-mapper\n" if machine.device_mapper else ""
    texts = {
        f"/sys/dev/block/{machine.number(f'/dev/mapper/{name}')}/dm/uuid": f"{entry.uuid}\n"
        for name, entry in machine.kernel.maps.items()
    }
    return texts.get(path)


KINDS: dict[str, Callable[[Machine, list[str]], str]] = {
    "version": _version,
    "info": _info,
    "create": _create,
    "message": _message,
    "remove": _remove,
    "suspend": _suspend,
    "resume": _resume,
    "clear": _clear,
    "status": _status,
}
COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {"dmsetup": _dmsetup}
