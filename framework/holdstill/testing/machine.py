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
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from holdstill.host import Answer, Companion, Holder, Node, NodeKind
from holdstill.host.alone import alone_with
from holdstill.host.failures import CommandFailedError
from holdstill.host.interruption import Interruption
from holdstill.host.real import RealHost
from holdstill.testing.beside import Conversation
from holdstill.testing.commands import mapper, mounts, nbd, services
from holdstill.testing.commands.arguments import Tool
from holdstill.testing.contents import Content, Nothing, Qcow2, at
from holdstill.testing.faults import Fault, Kind, killed
from holdstill.testing.kernel import FENCED, READER, Kernel, Service, Volume, map_name

Device = str
DISK = 256 << 20
"How large modelled disks are, in bytes."


class Machine:
    """A :class:`~holdstill.host.Host` that is not there."""

    def __init__(self, root: Path, *, device_mapper: bool = True, can_clone: bool = True) -> None:
        self.root = root
        self.device_mapper = device_mapper
        self.can_clone = can_clone
        self.kernel = Kernel()
        self.commands: list[tuple[str, ...]] = []
        "All commands so far, questions included."
        self.questions: set[int] = set()
        "Which of them change nothing."
        self.fault: Fault | None = None
        self.broken: set[str] = set()
        "Commands that fail whenever they are run."
        self.opened: set[str] = set()
        "Paths of mount points and devices that some process keeps open."
        self.lvm_settings = dict(FENCED)
        "The host's own LVM configuration, as «lvmconfig» prints it."
        self.programs: dict[str, Callable[[list[str]], int]] = {}
        "Programs of the site, such as a backup."
        self.tools: dict[str, Tool] = {}
        "Commands that the model does not know by itself."
        self.frozen_while_read: set[str] = set()
        "What was frozen when a backup ran."
        self.called_by = ""
        "The service that has started us, if one has."
        self.on_death: Callable[[], None] = killed
        self.witness: Callable[[], None] | None = None
        "Is called whenever the process could die, with the machine as it would be then."
        self.started = ""
        "Which run commands are started for."
        self.patient = True
        "Whether a command that hangs ends as soon as somebody waits for it."
        self.spent = 0.0
        "Seconds: of pauses, and of commands that hang or take their time."
        self.interruption = Interruption(lambda: self.spent)
        self._one_at_a_time = threading.RLock()
        "Several guests are held at once: nobody looks at what another one is changing."
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
        del env
        self.questions.add(len(self.commands))
        return self._do(argv, ok, deadline)

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
        del planned, env, watch
        return self._do(argv, ok, deadline)

    def _do(self, argv: tuple[str, ...], ok: Sequence[int], deadline: float) -> Answer:
        from holdstill.testing.commands import perform
        from holdstill.testing.mishaps import show_deaths, suffer

        self.interruption.check()
        deadline = self.interruption.cut(deadline)
        with self._one_at_a_time:
            kind = self._kind_of_fault(argv)
            self.commands.append(argv)
            if self.witness:
                show_deaths(self, argv)
        with nullcontext() if argv[0] in self.programs else self._one_at_a_time:
            answer = suffer(self, argv, kind, deadline) if kind else perform(self, argv)
            if self.witness:
                self.witness()
        if answer.status not in ok:
            raise CommandFailedError(answer)
        return answer

    def _kind_of_fault(self, argv: tuple[str, ...]) -> Kind | None:
        if self.fault and self.fault.at == len(self.commands):
            return self.fault.kind
        return Kind.FAIL if argv[0] in self.broken else None

    @contextmanager
    def companion(self, *argv: str, limit: float = 30, **how: Any) -> Iterator[Companion]:
        """See :meth:`holdstill.host.Host.companion`. A modelled one dies with us, and does nothing: the worst case."""
        self.run("companion", *argv, deadline=limit)
        yield Conversation(self.tools.get(argv[0]), how.get("told", ()))

    def beside(self, *argv: str) -> Companion:
        """See :meth:`holdstill.host.Host.beside`: as with :meth:`companion`, the worst case."""
        self.run("companion", *argv, deadline=0)  # it is not waited for
        return Conversation()

    def shielded(self) -> AbstractContextManager[None]:
        """See :meth:`holdstill.host.Host.shielded`."""
        return self.interruption.shield()

    @contextmanager
    def alone_with(self, *disks: str, within: float = 60) -> Iterator[None]:
        """See :meth:`holdstill.host.Host.alone_with`."""
        with self._one_at_a_time:
            volumes = {f"/dev/mapper/{map_name(name)}": f"/dev/{name}" for name in self.kernel.volumes}
        known = [volumes.get(disk, disk) for disk in disks]
        with alone_with(self.root / "state" / "locks", known, within, self.pause):
            yield

    def look(self, path: str) -> Node | None:
        """See :meth:`holdstill.host.Host.look`."""
        with self._one_at_a_time:
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
        with self._one_at_a_time:
            for shown in (mapper.shown, mounts.shown, nbd.shown, services.shown):
                if (told := shown(self, path)) is not None:
                    return told
        return self._real.read(path)

    def write(self, path: str, content: str) -> None:
        """See :meth:`holdstill.host.Host.write`."""
        self._real.write(path, content)

    def started_for(self, run: str) -> None:
        """See :meth:`holdstill.host.Host.started_for`."""
        self.started = run

    def still_running(self, run: str, session: int) -> list[int]:
        """See :meth:`holdstill.host.Host.still_running`."""
        del session
        with self._one_at_a_time:
            return [pid for pid, (of, _) in enumerate(self.kernel.at_work, start=1) if of == run]

    def pause(self, seconds: float, *, until: Sequence[int] = ()) -> float:
        """See :meth:`holdstill.host.Host.pause`: modelled time passes at once, and what hung goes on."""
        del until
        self.spent += seconds
        if self.patient:
            self.let_end()
        return seconds

    def let_end(self) -> None:
        """Let the commands that hang, or outlived their process, do their work and end."""
        from holdstill.testing.commands import perform

        with self._one_at_a_time:
            while self.kernel.at_work:
                perform(self, self.kernel.at_work.pop(0)[1])

    def holders(self, places: Sequence[str]) -> tuple[Holder, ...]:
        """See :meth:`holdstill.host.Host.holders`: a modelled process that opened a path is called ``reader``."""
        with self._one_at_a_time:
            return tuple(holder for holder in services.holders(self) if holder.place in places)

    def kept_open(self) -> set[str]:
        """Give the mount points and devices that some process keeps open."""
        return {holder.place for holder in services.holders(self)}

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

        return tool in known() or tool in self.programs or tool in self.tools

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

    def add_service(self, name: str, *, script: bool = False) -> Service:
        """Give the machine a service that runs: a unit «NAME.service», or one with a script in /etc/init.d."""
        service = Service(pid=READER + 1 + len(self.kernel.services))
        self.kernel.services[name if script else f"{name}.service"] = service
        if script:
            self.programs[f"/etc/init.d/{name}"] = services.init_script(self, name)
        return service

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
        names = map(map_name, self.kernel.volumes)
        origins = {volume.origin for volume in self.kernel.volumes.values() if volume.room}
        return [*names, *(f"{map_name(origin)}-real" for origin in origins)]

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
                _, target, offset = entry.lines[0] if entry.lines else (0, "", 0)
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
        return [*found, *(path for path in self.kept_open() if path in same)]

    def _other_names(self, device: Device) -> list[str]:
        return [
            other
            for name in self.kernel.maps
            for other in (f"/dev/mapper/{name}", self.volume_link(name))
            if device in {f"/dev/mapper/{name}", self.volume_link(name)} and other
        ]

    # What happens to it

    def power_off(self) -> None:
        """Lose the power and boot again: maps, loop and NBD devices and mounts are gone, volumes and files are not."""
        for mount in reversed(self.kernel.mounts):
            mounts.uncover(mount)
        kernel = self.kernel
        kernel.loops, kernel.maps, kernel.imported, kernel.nbds = {}, {}, {}, {}
        kernel.mounts = [*kernel.mounted_at_boot]
        kernel.at_work, kernel.suspended, kernel.half_made = [], set(), set()
        kernel.boot += 1
        kernel.shutdown, kernel.frozen = "", set()
        self.opened.clear()
        self.restart_services()

    def restart_services(self) -> None:
        """Stop all services, and start those that the machine's boot starts."""
        for service in self.kernel.services.values():
            service.stop()
            if service.enabled:
                service.start()

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
        kernel.at_work = [entry for entry in kernel.at_work if entry[0]]  # a backup may outlive its run
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
        self.commands, self.questions = [], set()


def _gist(path: Path) -> tuple[int, bytes]:
    """A file's size and beginning: images are sparse, and long."""
    with path.open("rb") as file:
        return path.stat().st_size, file.read(4096)
