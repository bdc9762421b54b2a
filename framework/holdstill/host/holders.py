"""Who keeps a mount or a block device open: processes, other mount namespaces, and devices on top.

Numbers tell, never names: a file system is known by its device number, which every open file, working folder,
root and mapped file in it bears, and so does a mount that exists only in a container's mount namespace, where
fuser(1) and lsof(8) see nothing (proc(5), mount_namespaces(7)).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from holdstill.host import Holder

T = TypeVar("T")
U = TypeVar("U")

PROC, SELF, BLOCK = Path("/proc"), Path("/proc/self"), Path("/sys/dev/block")
LINKS = {"cwd": "working folder", "root": "root folder", "exe": "program"}
MAPPED = re.compile(r"^\S+ \S+ \S+ ([0-9a-f]+):([0-9a-f]+) [1-9]", re.MULTILINE)
"A line of /proc/PID/maps that is of a file: its device's number in hexadecimal, and the beginning of its inode's."
FAR = ("nfs", "cifs", "smb", "fuse", "ceph", "9p", "afs", "glusterfs")
"What types of file systems begin with on which looking at a file can hang."

Numbers = dict[str, str]
"The place that each device number (``MAJOR:MINOR``) is of."


class Mount(NamedTuple):
    """A mount, as a process sees it."""

    number: str
    "Its device's."
    point: str
    kind: str
    "The file system's type."
    above: frozenset[str]
    "Peer groups which the mount that it is mounted on shares with, or is a slave of (mount_namespaces(7))."


def holders(places: Sequence[str]) -> tuple[Holder, ...]:
    """Give who has open, at this moment, what is mounted at or behind ``places``: mount points and block devices."""
    numbers = _numbers(places)
    if not numbers:
        return ()
    found = [*_mounts_here(numbers, places), *_devices_above(numbers), *_processes(numbers)]
    return tuple(dict.fromkeys(found))


def _numbers(places: Sequence[str]) -> Numbers:
    """Devices first: what a file system on one of them is called is the mount point, which people know."""
    numbers: Numbers = {}
    for place in places:
        found = _stat(place)
        if found and stat.S_ISBLK(found.st_mode):
            numbers[_written(found.st_rdev)] = place
    for mount in _mounts(SELF):
        if mount.point in places:
            numbers[mount.number] = mount.point
            if found := _stat(mount.point):  # btrfs tells another one here
                numbers[_written(found.st_dev)] = mount.point
    return numbers


def _mounts_here(numbers: Numbers, places: Sequence[str]) -> Iterator[Holder]:
    """Mounts of the same file systems that nobody promised to undo."""
    for mount in _mounts(SELF):
        if mount.number in numbers and mount.point not in places:
            yield Holder(place=numbers[mount.number], name=mount.point, how="mounted there, too")


def _devices_above(numbers: Numbers) -> Iterator[Holder]:
    """Maps and loop devices that use one of the devices, or a file in one of the file systems."""
    for number, place in numbers.items():
        for above in _entries(BLOCK / number / "holders"):
            if _text(above / "dev") not in numbers:
                yield Holder(
                    place=place, name=_text(above / "dm/name") or above.name, how="device on top of it"
                )
    for loop in Path("/sys/block").glob("loop*/loop/backing_file"):
        number = _number(_text(loop))
        if number in numbers and _text(loop.parents[1] / "dev") not in numbers:
            yield Holder(place=numbers[number], name=f"/dev/{loop.parts[3]}", how="loop device on it")


def _processes(numbers: Numbers) -> Iterator[Holder]:
    far, namespaces = _far(), {_or(lambda: str((SELF / "ns/mnt").readlink()), "")}
    ours = [mount for mount in _mounts(SELF) if mount.number in numbers]
    for process in _entries(PROC):
        if process.name.isdecimal():
            uses = (*_links(process, far), *_mapped(process), *_elsewhere(process, namespaces, ours))
            for number, how in uses:
                if number in numbers:
                    yield _process(process, numbers[number], how)


def _process(process: Path, place: str, how: str) -> Holder:
    return Holder(place=place, name=_text(process / "comm"), pid=int(process.name), how=how)


def _links(process: Path, far: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Give the device numbers of what a process's links lead to: its folders, its program, its open files."""
    named = [(process / link, how) for link, how in LINKS.items()]
    for link, how in (*named, *((file, "open file") for file in _entries(process / "fd"))):
        leads_to = f"{_or(link.readlink, Path())}/"
        if leads_to.startswith("/") and not leads_to.startswith(far):
            yield _number(link), how


def _mapped(process: Path) -> Iterator[tuple[str, str]]:
    for major, minor in set(MAPPED.findall(_text(process / "maps"))):
        yield f"{int(major, 16)}:{int(minor, 16)}", "mapped file"


def _elsewhere(process: Path, known: set[str], ours: list[Mount]) -> Iterator[tuple[str, str]]:
    """Give the mounts of a process's mount namespace, if nobody before was in it, that do not go when ours do."""
    namespace = _or(lambda: str((process / "ns/mnt").readlink()), "")
    if namespace and namespace not in known:
        known.add(namespace)
        for mount in _mounts(process):
            if not any(_goes_with(mount, one) for one in ours):
                yield mount.number, f"mounted at {mount.point} in its mount namespace"


def _goes_with(mount: Mount, ours: Mount) -> bool:
    """Tell whether a mount elsewhere is taken away with one of ours, as it came with it."""
    return mount.number == ours.number and bool(mount.above & ours.above)


def _mounts(process: Path) -> Iterator[Mount]:
    """Give every mount that a process sees. The kernel escapes no other white space than blank, tab and line feed."""
    lines = [line.split(" ") for line in _text(process / "mountinfo").split("\n") if line]
    groups = {fields[0]: _groups(fields) for fields in lines}
    for fields in lines:
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), fields[4])
        kind = fields[fields.index("-", 6) + 1]
        yield Mount(fields[2], point, kind, groups.get(fields[1], frozenset()))


def _groups(fields: list[str]) -> frozenset[str]:
    """Give the numbers of the peer groups in the optional fields: ``shared:12``, ``master:3``."""
    optional = fields[6 : fields.index("-", 6)]
    return frozenset(
        field.partition(":")[2] for field in optional if field.startswith(("shared:", "master:"))
    )


def _far() -> tuple[str, ...]:
    """Where looking at a file may wait for another machine, or for a program, for ever."""
    return tuple(f"{mount.point}/" for mount in _mounts(SELF) if mount.kind.startswith(FAR))


def _number(path: str | Path) -> str:
    """Give the number of a block device, or of the device that a file is on; nothing if there is none at ``path``."""
    found = _stat(path)
    return _written(found.st_rdev if stat.S_ISBLK(found.st_mode) else found.st_dev) if found else ""


def _written(number: int) -> str:
    return f"{os.major(number)}:{os.minor(number)}"


def _stat(path: str | Path) -> os.stat_result | None:
    return _or(Path(path).stat, None)


def _text(path: Path) -> str:
    return _or(lambda: path.read_text(errors="replace").rstrip("\n"), "")


def _entries(folder: Path) -> list[Path]:
    return _or(lambda: list(folder.iterdir()), [])


def _or(look: Callable[[], T], otherwise: U) -> T | U:
    """Look at what may have gone since it was found."""
    try:
        return look()
    except (OSError, ValueError):
        return otherwise
