"""mount(8), umount(8): the files of a modelled file system appear in the real folder, and go again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from holdstill.testing.commands.arguments import Arguments, Refused
from holdstill.testing.commands.loops import clear
from holdstill.testing.contents import FileSystem
from holdstill.testing.kernel import Mount

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine


def shown(machine: Machine, path: str) -> str | None:
    """What /proc/self/mountinfo says; ``None`` for any other file."""
    if path != "/proc/self/mountinfo":
        return None
    lines = ["22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
    for mount in machine.kernel.mounts:
        source, kind = mount.source, getattr(machine.content(mount.source), "kind", "ext4")
        lines.append(f"30 22 {machine.number(source)} / {mount.point} ro,nosuid,nodev - {kind} {source} ro")
    return "\n".join(lines) + "\n"


def _mount(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--types", "--options"], flags=["--no-canonicalize"])
    source, place = given.words
    content = machine.content(source) if source in machine.devices() else None
    if not isinstance(content, FileSystem) or content.kind != given["--types"]:
        raise Refused(32, f"mount: {place}: wrong fs type, bad option, bad superblock on {source}.")
    loop = machine.kernel.loops.get(source)
    if content.dirty and loop and loop.read_only:
        raise Refused(32, f"mount: {place}: cannot mount {source} read-only.")
    point = str(Path(place).readlink()) if place.startswith("/proc/self/fd/") else place
    _cover(Path(point), content)
    machine.kernel.mounts.append(Mount(point, source))
    return ""


def _cover(point: Path, content: FileSystem) -> None:
    if any(point.iterdir()):
        raise AssertionError(f"the model mounts on empty folders only, and {point} is not empty")
    for name, text in content.files.items():
        path = point / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("/"):
            path.mkdir(exist_ok=True)
        elif text.startswith("-> "):
            path.symlink_to(text.removeprefix("-> "))
        else:
            path.write_text(text)


def uncover(mount: Mount) -> None:
    """Take a mount's files out of its folder."""
    for entry in Path(mount.point).iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _umount(machine: Machine, arguments: list[str]) -> str:
    [point] = Arguments(arguments, flags=["--no-canonicalize"]).words
    mounts = machine.kernel.mounts
    there = [mount for mount in mounts if mount.point == point]
    if not there:
        raise Refused(32, f"umount: {point}: not mounted.")
    beneath = [mount for mount in mounts if mount.point.startswith(f"{point}/")]
    if beneath or point in machine.kept_open():
        raise Refused(32, f"umount: {point}: target is busy.")
    uncover(there[-1])
    mounts.remove(there[-1])
    clear(machine)
    return ""


def _df(machine: Machine, arguments: list[str]) -> str:
    del machine, arguments
    return "   Size\n1000000000000\n"


COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {"mount": _mount, "umount": _umount, "df": _df}
