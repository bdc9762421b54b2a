"""Services of this host that can be stopped and started: systemd's units, and those of init scripts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeAlias

import msgspec

from holdstill.plugin import Complaint, Facts, Host, missing_tools, printable

UNIT = re.compile(r"[A-Za-z0-9:_.\\][A-Za-z0-9:_.\\-]*(@[A-Za-z0-9:_.\\-]*)?\.service")
"What systemd.unit(5) allows in the name of a service; a dash at its beginning would make it an option."
OTHER_TYPES = ("automount", "device", "mount", "path", "scope", "slice", "socket", "swap", "target", "timer")
RUNNING = {"active", "reloading", "refreshing"}
"States of a unit (systemctl(1)) whose processes are meant to be there."
SCRIPT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")
STOPPED = (1, 2, 3)
"What a script's «status» exits with when the service does not run (LSB); 0 when it does, anything else is a failure."
COMM = 15
"Characters of a process's name that the kernel keeps (proc(5))."

Owns: TypeAlias = Callable[[str], bool]
"Tells of a process, by its id or «self», whether it is the service's."


class Service(Protocol):
    """What is stopped so that it lets go of the trees."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def stopping(self) -> tuple[str, ...]:
        """The command that stops it."""

    @property
    def starting(self) -> tuple[str, ...]:
        """The command that starts it."""

    def complaints(self, host: Host) -> list[Complaint]:
        """Say what is in the way of stopping and starting it."""

    def owner(self, host: Host) -> Owns | None:
        """Tell how to know its processes; ``None`` if it does not run. Raises HoldstillError if that is not known."""

    def later(self, host: Host) -> tuple[str, ...]:
        """Give the command that has it started when we have ended, if it cannot be started before; else nothing."""

    def facts(self) -> dict[str, str | list[str]]:
        """Give what :func:`recalled` makes the service of again."""


class Unit(msgspec.Struct, frozen=True):
    """A service of systemd's. Its processes are those in its control group."""

    name: str

    @property
    def stopping(self) -> tuple[str, ...]:
        """See :class:`Service`."""
        return ("systemctl", "stop", self.name)

    @property
    def starting(self) -> tuple[str, ...]:
        """See :class:`Service`."""
        return ("systemctl", "start", self.name)

    def complaints(self, host: Host) -> list[Complaint]:
        """See :class:`Service`."""
        if missing := missing_tools(host, "systemctl"):
            return missing
        answer = host.ask(*self._show("LoadState"), ok=range(256))
        state = answer.out.strip().partition("=")[2]
        if answer.status or state != "loaded":
            why = printable(answer.err.strip()) if answer.status else f"systemd says «{state}»"
            return [Complaint(f"The unit {self.name} cannot be stopped and started: {why}.")]
        return []

    def owner(self, host: Host) -> Owns | None:
        """See :class:`Service`."""
        told = host.ask(*self._show("ActiveState,ControlGroup")).out
        state = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
        group = state.get("ControlGroup", "")
        if state.get("ActiveState") not in RUNNING:
            return None
        return lambda pid: bool(group) and any(_is_in(own, group) for own in _groups(host, pid))

    def later(self, host: Host) -> tuple[str, ...]:
        """See :class:`Service`. Backup software is ordered after the unit that recovers at boot: it waits for us."""
        after = host.ask(*self._show("After")).out.strip().partition("=")[2].split()
        above = (part for group in _groups(host, "self") for part in group.split("/"))
        ours = {part for part in above if part.endswith(".service")}
        return ("systemctl", "start", "--no-block", self.name) if ours & set(after) else ()

    def _show(self, properties: str) -> tuple[str, ...]:
        return ("systemctl", "show", f"--property={properties}", self.name)

    def facts(self) -> dict[str, str | list[str]]:
        """See :class:`Service`."""
        return {"unit": self.name}


def unit(written: str) -> Unit:
    """Give the unit of a name as people write it, with or without «.service». Raises ValueError if it is none."""
    name = written if written.endswith(".service") else f"{written}.service"
    if not UNIT.fullmatch(name) or written.rpartition(".")[2] in OTHER_TYPES:
        raise ValueError(f"{written!r} is not the name of a service of systemd's, such as bacula-fd.service")
    return Unit(name)


def _groups(host: Host, pid: str) -> list[str]:
    """Give the control groups of a process, one for each hierarchy (cgroups(7))."""
    return [line.split(":", 2)[2] for line in _read(host, f"/proc/{pid}/cgroup").split("\n") if line]


def _is_in(group: str, other: str) -> bool:
    return group == other or group.startswith(f"{other}/")


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service that commands stop and start, such as those of an init script."""

    name: str
    "What it is called. Its init script is ``/etc/init.d/NAME``, which is called where no other command is given."
    running: str | list[str] = []
    "The command that tells whether it runs, by exit code: 0 if so, 1 to 3 if not; ``/etc/init.d/NAME status``."
    stop: str | list[str] = []
    "The command that stops it; ``/etc/init.d/NAME stop``."
    start: str | list[str] = []
    "The command that starts it; ``/etc/init.d/NAME start``."
    processes: list[str] = []
    "Its processes, by their names or by paths of pid files; their children count, too; those called NAME."

    def __post_init__(self) -> None:
        """Refuse what can be no name, and commands with a quote too few. Raises ValueError."""
        if not SCRIPT.fullmatch(self.name):
            raise ValueError(f"{self.name!r} cannot be a service's name")
        for written in (self.running, self.stop, self.start):
            self._command(written, "")

    @property
    def stopping(self) -> tuple[str, ...]:
        """See :class:`Service`."""
        return self._command(self.stop, "stop")

    @property
    def starting(self) -> tuple[str, ...]:
        """See :class:`Service`."""
        return self._command(self.start, "start")

    @property
    def asking(self) -> tuple[str, ...]:
        """The command that tells whether it runs."""
        return self._command(self.running, "status")

    def _command(self, written: str | list[str], word: str) -> tuple[str, ...]:
        argv = shlex.split(written) if isinstance(written, str) else written
        return tuple(argv) or (f"/etc/init.d/{self.name}", word)

    def complaints(self, host: Host) -> list[Complaint]:
        """See :class:`Service`."""
        programs = dict.fromkeys(argv[0] for argv in (self.asking, self.stopping, self.starting))
        return missing_tools(host, *programs)

    def owner(self, host: Host) -> Owns | None:
        """See :class:`Service`."""
        if host.ask(*self.asking, ok=(0, *STOPPED)).status:
            return None
        named = self.processes or [self.name]
        names = {name[:COMM] for name in named if not name.startswith("/")}
        pids = {_read(host, path).strip() for path in named if path.startswith("/")}
        return lambda pid: any(one in pids or name in names for one, name in _lineage(host, pid))

    def later(self, host: Host) -> tuple[str, ...]:
        """See :class:`Service`. A script waits for nobody."""
        del host
        return ()

    def facts(self) -> dict[str, str | list[str]]:
        """See :class:`Service`."""
        return {"script": self.name, "running": list(self.asking), "start": list(self.starting)}


def _lineage(host: Host, pid: str) -> Iterator[tuple[str, str]]:
    """Give the ids and names of a process and of those that it descends from (proc_pid_stat(5))."""
    while stat := _read(host, f"/proc/{pid}/stat"):
        before, _, after = stat.rpartition(")")
        own, _, name = before.partition(" (")
        yield own, name
        pid = after.split()[1]


def _read(host: Host, path: str) -> str:
    """Read a file that may have gone, as a process's do with it."""
    try:
        return host.read(path)
    except OSError:
        return ""


def recalled(facts: Facts) -> Service:
    """Give the service that a promise is of."""
    if "unit" in facts:
        return Unit(str(facts["unit"]))
    return Script(name=str(facts["script"]), running=_words(facts["running"]), start=_words(facts["start"]))


def _words(fact: object) -> list[str]:
    return list(fact) if isinstance(fact, Sequence) and not isinstance(fact, str) else []
