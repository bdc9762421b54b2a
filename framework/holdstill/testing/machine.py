"""A modelled machine: its kernel's state in memory, its files in a real folder.

Volumes, maps, loop devices and mounts are modelled by the commands that change them; small file commands work
on real files beneath ``root``. It can fail or die at any command, lose its power, and be compared.
"""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from holdstill.host import Answer, Node, NodeKind
from holdstill.host.failures import CommandFailedError
from holdstill.host.real import RealHost
from holdstill.testing.commands import nbd
from holdstill.testing.contents import Content, Nothing, Qcow2, at
from holdstill.testing.faults import Fault, Killed, Kind

Device = str
DISK = 256 << 20
"How large modelled disks are, in bytes."


FENCED = {
    "global_filter": '["r|^/dev/mapper/(holdstill-|.*-hs_|(loop|nbd)[0-9])|","r|^/dev/(loop|nbd)[0-9]|"]',
    "filter": '["a|.*|"]',
    "use_devicesfile": "0",
    "devicesfile": '"system.devices"',
}
"Settings of LVM's by which the host does not look at what is a guest's."


@dataclass
class Loop:
    """An attached loop device. Sizes and offsets are in bytes."""

    store: str
    start: int = 0
    size: int = 0
    read_only: bool = False
    clears: bool = False
    "Whether it goes by itself when its last user does."


@dataclass
class Volume:
    """A logical volume of the host."""

    size: int
    tags: tuple[str, ...] = ()
    origin: str = ""
    room: int = 0
    "A thick snapshot's own size."
    used: int = 0
    "How much of that is used."
    layout: str = "linear"
    "What LVM calls the way it lies on its devices."
    pool: str = ""
    invalid: bool = False

    def pool_of(self, name: str) -> str:
        """``VG/POOL`` of the thin volume ``VG/LV``; empty for a thick one."""
        return f"{name.partition('/')[0]}/{self.pool}" if self.pool else ""


@dataclass
class Map:
    """A device-mapper map: its lines as (length, device, start), in bytes; further devices of a line have no length."""

    uuid: str
    lines: tuple[tuple[int, str, int], ...]


@dataclass
class Mount:
    """A mount."""

    point: str
    source: str


@dataclass
class Kernel:
    """Everything that a reboot or a command changes, apart from files."""

    loops: dict[str, Loop] = field(default_factory=dict)
    maps: dict[str, Map] = field(default_factory=dict)
    mounts: list[Mount] = field(default_factory=list)
    volumes: dict[str, Volume] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    "Free bytes of each volume group."
    contents: dict[str, Content] = field(default_factory=dict)
    "What is on each store: an image's path, or a volume's."
    imported: dict[str, tuple[str, list[str]]] = field(default_factory=dict)
    "Guest groups under a private name: their own name, and the devices they are on."
    suspended: set[str] = field(default_factory=set)
    "Names of maps that hang until somebody resumes them, as a killed LVM command can leave an origin's."
    nbds: dict[str, nbd.Nbd] = field(default_factory=dict)
    boot: int = 1


class Machine:
    """A :class:`~holdstill.host.Host` that is not there."""

    def __init__(self, root: Path, *, device_mapper: bool = True, can_clone: bool = True) -> None:
        self.root = root
        self.device_mapper = device_mapper
        self.can_clone = can_clone
        self.kernel = Kernel()
        self.commands: list[tuple[str, ...]] = []
        "All commands so far, questions included."
        self.fault: Fault | None = None
        self.broken: set[str] = set()
        "Commands that fail whenever they are run."
        self.opened: set[str] = set()
        "Paths of mount points and devices that some process keeps open."
        self.lvm_settings = dict(FENCED)
        "The host's own LVM configuration, as «lvmconfig» prints it."
        self.programs: dict[str, Callable[[list[str]], int]] = {}
        "Programs of the site, such as a backup."
        self.on_death: Callable[[], None] = _killed
        self.paused = 0.0
        self._one_at_a_time = threading.RLock()
        self._real = RealHost()

    # The host layer

    def ask(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        deadline: float = 60,
        env: Mapping[str, str] | None = None,
    ) -> Answer:
        """See :meth:`holdstill.host.Host.ask`."""
        return self.run(*argv, ok=ok, deadline=deadline, env=env)

    def run(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        deadline: float = 300,
        planned: str = "",
        env: Mapping[str, str] | None = None,
        watch: Callable[[str], None] | None = None,
    ) -> Answer:
        """See :meth:`holdstill.host.Host.run`."""
        del planned, deadline, env, watch
        with self._one_at_a_time:
            fault = self.fault if self.fault and self.fault.at == len(self.commands) else None
            self.commands.append(argv)
        kind = fault.kind if fault else None
        with nullcontext() if argv[0] in self.programs else self._one_at_a_time:
            answer = self._answer(argv, kind)
        if answer.status not in ok:
            raise CommandFailedError(answer)
        return answer

    def _answer(self, argv: tuple[str, ...], kind: Kind | None) -> Answer:
        from holdstill.testing.commands import perform

        if kind is Kind.DIE_BEFORE:
            self.on_death()
        if kind is Kind.FAIL or argv[0] in self.broken:
            return Answer(argv, 70, err="the modelled command fails")
        answer = perform(self, argv)
        if kind is Kind.DIE_AFTER:
            self.on_death()
        return Answer(argv, 70, err="it fails after it was done") if kind is Kind.FAIL_AFTER else answer

    @contextmanager
    def companion(self, *argv: str, limit: float = 30) -> Iterator[str]:
        """See :meth:`holdstill.host.Host.companion`. A modelled one dies with us, and does nothing: the worst case."""
        del limit
        self.run("companion", *argv)
        yield "ready"

    def look(self, path: str) -> Node | None:
        """See :meth:`holdstill.host.Host.look`."""
        if path.startswith("/sys/block/loop"):
            attached = path.replace("/sys/block", "/dev").removesuffix("/loop") in self.kernel.loops
            return Node(kind=NodeKind.FOLDER, size=0) if attached else None
        if not path.startswith("/dev/"):
            return self._real.look(path)
        if path.removeprefix("/dev/mapper/") in self.volume_maps():
            return Node(kind=NodeKind.BLOCK, size=0)
        if path not in self.devices():
            return None
        return Node(kind=NodeKind.BLOCK, size=self.size(path), number=self.number(path))

    def read(self, path: str) -> str:
        """See :meth:`holdstill.host.Host.read`."""
        told = self.mountinfo() if path == "/proc/self/mountinfo" else nbd.shown(self, path)
        return self._real.read(path) if told is None else told

    def write(self, path: str, content: str) -> None:
        """See :meth:`holdstill.host.Host.write`."""
        self._real.write(path, content)

    def started_for(self, run: str) -> None:
        """See :meth:`holdstill.host.Host.started_for`."""

    def still_running(self, run: str, session: int) -> list[int]:
        """See :meth:`holdstill.host.Host.still_running`: a modelled command ends with its process."""
        del run, session
        return []

    def pause(self, seconds: float) -> None:
        """See :meth:`holdstill.host.Host.pause`: modelled time passes at once."""
        self.paused += seconds

    @contextmanager
    def beneath(self, root: str, path: str) -> Iterator[str]:
        """See :meth:`holdstill.host.Host.beneath`."""
        with self._real.beneath(root, path) as place:
            yield place

    def read_beneath(self, root: str, path: str) -> str | None:
        """See :meth:`holdstill.host.Host.read_beneath`."""
        return self._real.read_beneath(root, path)

    def installed(self, tool: str) -> bool:
        """See :meth:`holdstill.host.Host.installed`."""
        from holdstill.testing.commands import known

        return tool in known() or tool in self.programs

    # What there is

    def add_image(self, path: Path, content: Content) -> str:
        """Give the machine a disk image; give its path."""
        path.write_text(f"image {path.name}\n")
        os.truncate(path, DISK)
        self.kernel.contents[str(path)] = content
        return str(path)

    def add_qcow2(self, path: Path, content: Content, **told: object) -> str:
        """Give the machine a qcow2 image, of which «qemu-img info» also tells ``told``; give its path."""
        path.write_bytes(b"QFI\xfb")
        self.kernel.contents[str(path)] = Qcow2(content, told)
        return str(path)

    def add_volume(self, name: str, content: Content, *, size: int = DISK, pool: str = "") -> str:
        """Give the machine a logical volume ``VG/LV``; give its path."""
        self.kernel.volumes[name] = Volume(size=size, pool=pool)
        self.kernel.free.setdefault(name.partition("/")[0], 1 << 30)
        self.kernel.contents[f"/dev/{name}"] = content
        return f"/dev/{name}"

    def devices(self) -> list[Device]:
        """All block devices."""
        kernel = self.kernel
        return [
            *kernel.loops,
            *nbd.DEVICES,
            *(f"/dev/{name}" for name in kernel.volumes),
            *(f"/dev/mapper/{name}" for name in kernel.maps),
            *(link for name in kernel.maps if (link := self.volume_link(name))),
        ]

    def volume_maps(self) -> list[str]:
        """Names of the host's own volumes as device-mapper has them."""
        names = (name.replace("-", "--").replace("/", "-") for name in self.kernel.volumes)
        origins = {volume.origin for volume in self.kernel.volumes.values() if volume.room}
        return [*names, *(f"{origin.replace('-', '--').replace('/', '-')}-real" for origin in origins)]

    def volume_link(self, map_name: str) -> str:
        """``/dev/VG/LV`` of an active volume of an imported group; empty for other maps."""
        group, _, volume = map_name.replace("--", "\0").partition("-")
        group = group.replace("\0", "-")
        return f"/dev/{group}/{volume}" if group in self.kernel.imported else ""

    def number(self, device: Device) -> str:
        """A device's number: the same as long as it is there."""
        for prefix, major in (("/dev/loop", 7), ("/dev/nbd", 43)):
            if device.startswith(prefix):
                return f"{major}:{device.removeprefix(prefix)}"
        names = [f"/dev/mapper/{name}" for name in self.kernel.maps]
        links = {self.volume_link(name): f"/dev/mapper/{name}" for name in self.kernel.maps}
        device = links.get(device, device)
        if device in names:
            return f"253:{100 + names.index(device)}"
        return f"253:{sorted(self.kernel.volumes).index(device.removeprefix('/dev/'))}"

    def extent_of(self, device: Device) -> tuple[str, int]:
        """Where a device's bytes really are: the store, and the start in it."""
        kernel = self.kernel
        if device in kernel.loops:
            loop = kernel.loops[device]
            store, start = self.extent_of(loop.store)
            return store, start + loop.start
        for name, entry in kernel.maps.items():
            if device in {f"/dev/mapper/{name}", self.volume_link(name)}:
                _, target, offset = entry.lines[0]
                store, start = self.extent_of(target)
                return store, start + offset
        return device, 0

    def content(self, device: Device, offset: int = 0) -> Content:
        """What is on a device, ``offset`` bytes from its beginning."""
        store, start = self.extent_of(device)
        if served := self.kernel.nbds.get(store):
            inside = self.kernel.contents[served.image]
            return at(inside.inside if isinstance(inside, Qcow2) else inside, start + offset)
        return at(self.kernel.contents.get(store, Nothing()), start + offset)

    def size(self, device: Device) -> int:
        """A device's size in bytes."""
        kernel = self.kernel
        if device in kernel.loops:
            return kernel.loops[device].size or DISK
        if device.startswith("/dev/nbd"):
            return DISK if device in kernel.nbds else 0
        for name, entry in kernel.maps.items():
            if device in {f"/dev/mapper/{name}", self.volume_link(name)}:
                return sum(length for length, _, _ in entry.lines)
        return kernel.volumes[device.removeprefix("/dev/")].size

    def users(self, device: Device) -> list[str]:
        """What keeps a device busy: mounts, maps and loop devices on it, and processes."""
        kernel, same = self.kernel, {device, *self._other_names(device)}
        found = [mount.point for mount in kernel.mounts if mount.source in same]
        found += [loop for loop, entry in kernel.loops.items() if entry.store in same]
        found += [
            name for name, entry in kernel.maps.items() if any(target in same for _, target, _ in entry.lines)
        ]
        return [*found, *(path for path in self.opened if path in same)]

    def _other_names(self, device: Device) -> list[str]:
        return [
            other
            for name in self.kernel.maps
            for other in (f"/dev/mapper/{name}", self.volume_link(name))
            if device in {f"/dev/mapper/{name}", self.volume_link(name)} and other
        ]

    def mountinfo(self) -> str:
        """The modelled /proc/self/mountinfo."""
        lines = ["22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
        for mount in self.kernel.mounts:
            kind = getattr(self.content(mount.source), "kind", "ext4")
            lines.append(
                f"30 22 {self.number(mount.source)} / {mount.point} ro,nosuid,nodev - {kind} {mount.source} ro"
            )
        return "\n".join(lines) + "\n"

    # What happens to it

    def power_off(self) -> None:
        """Lose the power and boot again: maps, loop and NBD devices and mounts are gone, volumes and files are not."""
        from holdstill.testing.commands.mounts import uncover

        for mount in reversed(self.kernel.mounts):
            uncover(mount)
        kernel = self.kernel
        kernel.loops, kernel.maps, kernel.mounts, kernel.imported, kernel.nbds = {}, {}, [], {}, {}
        kernel.boot += 1
        self.opened.clear()

    @property
    def boot(self) -> str:
        """The boot id."""
        return f"boot-{self.kernel.boot}"

    def state(self, *ignored: Path) -> dict[str, Any]:
        """All that a run could leave behind, for comparing; without files beneath ``ignored``."""
        kernel = copy.deepcopy(self.kernel)
        files = {
            str(path.relative_to(self.root)): _gist(path) if path.is_file() else "folder"
            for path in sorted(self.root.rglob("*"))
            if not any(path.is_relative_to(folder) for folder in ignored) and not path.is_symlink()
        }
        kernel.imported = {  # new names are written on the snapshot, and go with it
            name: entry for name, entry in kernel.imported.items() if set(entry[1]) & set(self.devices())
        }
        return {**vars(kernel), "boot": None, "files": files}

    def save(self, path: Path) -> None:
        """Write the kernel's state to a file, for a process that comes after this one's death."""
        path.write_bytes(pickle.dumps(self.kernel))

    def restore(self, path: Path) -> None:
        """Take over the state that another process saved."""
        self.kernel = pickle.loads(path.read_bytes())  # noqa: S301  written by ``save`` just before
        self.fault = None
        self.commands = []


def _gist(path: Path) -> tuple[int, bytes]:
    """A file's size and beginning: images are sparse, and long."""
    with path.open("rb") as file:
        return path.stat().st_size, file.read(4096)


def _killed() -> None:
    raise Killed
