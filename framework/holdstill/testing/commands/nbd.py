"""qemu-nbd(8) and qemu-img(1), as of QEMU 7.2, and what the kernel shows of NBD devices."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from holdstill.testing.commands.arguments import Arguments, Refused
from holdstill.testing.contents import Qcow2
from holdstill.testing.kernel import Nbd

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

DEVICES = tuple(f"/dev/nbd{number}" for number in range(4))
FIRST_PID = 1_000_000_000
"No process of the real machine has such an id."


def _qemu_nbd(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--connect", "--format"], flags=["--disconnect"])
    [word] = given.words
    return _disconnect(machine, word) if "--disconnect" in given else _connect(machine, given, word)


def _connect(machine: Machine, given: Arguments, image: str) -> str:
    device, content = given["--connect"], machine.kernel.contents.get(image)
    if given["--format"] != "qcow2" or not isinstance(content, Qcow2):
        raise Refused(1, f"qemu-nbd: Failed to blk_new_open '{image}': Image is not in qcow2 format")
    if any(served.image == image for served in machine.kernel.nbds.values()):
        raise Refused(1, f"qemu-nbd: Failed to blk_new_open '{image}': Failed to get \"write\" lock")
    if device in machine.kernel.nbds:
        raise Refused(1, "qemu-nbd: Failed to set NBD socket")
    machine.kernel.nbds[device] = Nbd(image)
    return ""


def _disconnect(machine: Machine, device: str) -> str:
    """Disconnect, also what is in use or serves nothing."""
    if users := machine.users(device):
        raise AssertionError(f"{device} is taken away from under {users}")
    machine.kernel.nbds.pop(device, None)
    return f"{device} disconnected\n"


def _qemu_img(machine: Machine, arguments: list[str]) -> str:
    from holdstill.testing.machine import DISK

    _, image = Arguments(arguments, valued=["--format", "--output"], flags=["--force-share"]).words
    content = machine.kernel.contents.get(image)
    if not isinstance(content, Qcow2):
        raise Refused(1, f"qemu-img: Could not open '{image}': Image is not in qcow2 format")
    return json.dumps({"virtual-size": DISK, "format": "qcow2", **content.told})


def hide_partitions(machine: Machine, device: str) -> str:
    """Do as «partx --delete»."""
    served = machine.kernel.nbds[device]
    if not served.partitions:
        raise Refused(1, "partx: specified range <1:0> does not make sense")
    served.partitions = False
    return ""


def shown(machine: Machine, path: str) -> str | None:
    """What a file of the kernel's about NBD devices says; ``None`` for any other file.

    Raises FileNotFoundError if it is not there.
    """
    for number, device in enumerate(DEVICES):
        pid, served = FIRST_PID + number, machine.kernel.nbds.get(device)
        texts = {
            f"/sys/block/{Path(device).name}/pid": f"{pid}\n",
            f"/proc/{pid}/status": f"Name:\tqemu-nbd\nTgid:\t{pid}\n",
            f"/proc/{pid}/cmdline": f"qemu-nbd\0{served.image}\0" if served else "",
        }
        if path in texts and served and served.shown:
            return texts[path]
    if path.startswith(("/sys/block/nbd", f"/proc/{FIRST_PID // 10}")):
        raise FileNotFoundError(path)
    return None


COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {
    "qemu-img": _qemu_img,
    "qemu-nbd": _qemu_nbd,
}
