"""systemctl(1), shutdown(8) with systemd-logind, and init scripts: services whose processes keep things open."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from holdstill.host import Holder
from holdstill.testing.commands.arguments import Arguments, Refused
from holdstill.testing.kernel import READER, Service

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

BOOT = "/proc/sys/kernel/random/boot_id"
SCHEDULED = "/run/systemd/shutdown/scheduled"
NOT_LOADED = 5
"What systemctl exits with for a unit that there is not."
NOT_RUNNING = 3
"What an init script's «status» exits with for a service that does not run."


def holders(machine: Machine) -> Iterator[Holder]:
    """Give all that services keep open, and a process that is called ``reader``."""
    for path in sorted(machine.opened):
        yield Holder(place=path, name="reader", how="open file", pid=READER)
    for name, service in machine.kernel.services.items():
        for place in sorted(service.opens):
            yield Holder(place=place, name=_process_name(name), how="open file", pid=service.pid)


def _process_name(service: str) -> str:
    return service.removesuffix(".service")[:15]


def shown(machine: Machine, path: str) -> str | None:
    """Give what the kernel and systemd tell in files; ``None`` for a file that is none of theirs."""
    if path == BOOT:
        return f"{machine.boot}\n"
    if path == SCHEDULED:
        return _scheduled(machine)
    _, _, process, *name = path.split("/") if path.startswith("/proc/") else ("", "", "")
    if process == "self" or process in {str(service.pid) for service in machine.kernel.services.values()}:
        return {"cgroup": _cgroup, "stat": _stat}[name[0]](machine, process)
    return None


def _scheduled(machine: Machine) -> str:
    if not machine.kernel.shutdown:
        raise FileNotFoundError(SCHEDULED)
    return machine.kernel.shutdown


def _service_of(machine: Machine, process: str) -> str:
    """The service of a process: ours is of the one that has called us, if one has."""
    by_pid = {str(service.pid): name for name, service in machine.kernel.services.items()}
    return machine.called_by if process == "self" else by_pid[process]


def _cgroup(machine: Machine, process: str) -> str:
    """A group may be called anything, as the folder that it is: a user's groups are made by that user."""
    name = _service_of(machine, process)
    return f"0::/system.slice/{name}/in\fner\n" if name.endswith(".service") else "0::/system.slice\n"


def _stat(machine: Machine, process: str) -> str:
    """A process of our own is a child of the service that has called us."""
    name = _service_of(machine, process)
    called_by = machine.kernel.services.get(name) if process == "self" else None
    parent = called_by.pid if called_by else 1
    own = 999_999 if process == "self" else int(process)
    called = "holdstill" if process == "self" else _process_name(name)
    return f"{own} ({called}) S {parent} {own}\n"


def _systemctl(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--property"], flags=["--no-block"])
    verb, name = given.words
    if verb == "show":
        return _show(machine, name, given["--property"].split(","))
    if name not in machine.kernel.services:
        raise Refused(NOT_LOADED, f"Failed to {verb} {name}: Unit {name} not found.")
    service = machine.kernel.services[name]
    if verb == "start" and machine.called_by and machine.called_by in service.after.split():
        if "--no-block" not in given:
            raise AssertionError(f"{name} waits for the end of {machine.called_by}, which waits for {name}")
        return ""
    return _change(service, verb)


def _show(machine: Machine, name: str, properties: list[str]) -> str:
    service = machine.kernel.services.get(name)
    runs = bool(service and service.running)
    told = {
        "LoadState": "loaded" if service else "not-found",
        "ActiveState": "active" if runs else "inactive",
        "After": service.after if service else "",
        "ControlGroup": f"/system.slice/{name}" if runs else "",
    }
    return "".join(f"{key}={told[key]}\n" for key in properties)


def _change(service: Service, verb: str) -> str:
    {"stop": service.stop, "start": service.start}[verb]()
    return ""


def init_script(machine: Machine, name: str) -> Callable[[list[str]], int]:
    """Give the script that controls a service of the machine."""

    def script(arguments: list[str]) -> int:
        service = machine.kernel.services[name]
        if arguments == ["status"]:
            return 0 if service.running else NOT_RUNNING
        _change(service, arguments[0])
        return 0

    return script


def _shutdown(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, flags=["-r", "-c"])
    if "-c" in given:
        machine.kernel.shutdown = ""
        return ""
    delay, message = given.words
    due = 1_000_000_000_000_000 + int(delay.removeprefix("+")) * 60_000_000
    machine.kernel.shutdown = f"USEC={due}\nWARN_WALL=1\nMODE=reboot\nWALL_MESSAGE={message}\n"
    return ""


COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {"systemctl": _systemctl, "shutdown": _shutdown}
