"""The commands that the modelled machine knows: each behaves as the real one was seen to behave.

An option that the model does not know is an error of the model, never passed over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdstill.host import Answer
from holdstill.testing.commands import files, guest_lvm, loops, lvm, mapper, mounts, nbd, partitions, services
from holdstill.testing.commands.arguments import Refused

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

MODULES = (files, guest_lvm, lvm, loops, mapper, mounts, nbd, partitions, services)
TABLE = {name: handler for module in MODULES for name, handler in module.COMMANDS.items()}
NEEDS_DEVICE_MAPPER = {
    "dmsetup",
    "kpartx",
    "lvcreate",
    "lvextend",
    "lvremove",
    "lvs",
    "vgchange",
    "vgimportclone",
    "vgs",
}


def known() -> set[str]:
    """Give the names of all commands."""
    return set(TABLE)


def perform(machine: Machine, argv: tuple[str, ...]) -> Answer:
    """Do what a command does, and give its answer."""
    name, arguments = argv[0].rpartition("/")[2], list(argv[1:])
    if name == "companion":
        return Answer(argv, 0, out="ready")
    if argv[0] in machine.programs:
        return Answer(argv, machine.programs[argv[0]](arguments))
    work = machine.tools[name].work if name in machine.tools else TABLE.get(name)
    if work is None:
        raise AssertionError(f"the modelled machine has no command {argv[0]!r}; give it one in its 'tools'")
    if name in NEEDS_DEVICE_MAPPER and not machine.device_mapper:
        return Answer(argv, 1, err="Failure to communicate with kernel device-mapper driver.")
    try:
        return Answer(argv, 0, out=work(machine, arguments) or "")
    except Refused as refused:
        return Answer(argv, refused.status, out=refused.out, err=str(refused))
