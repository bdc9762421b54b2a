"""Doubles of programs that built-in plugins run and the model does not know, as the real ones were seen to behave."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from holdstill.testing import Machine, Refused, Tool, plain_disk
from holdstill.testing.kernel import Mount

PYTHON = Path(sys.executable).name
REDIS = {
    "BGSAVE": "Background saving started\n",
    "INFO": "rdb_bgsave_in_progress:0\nrdb_last_bgsave_status:ok\n",
}
POSTGRESQL = {
    "SELECT current_setting('server_version_num')": "160004",
    "CHECKPOINT": "",
    "SELECT pg_backup_start": "0/2000028",
    "SELECT encode": f"{b'START WAL LOCATION'.hex()} ",
    "SELECT": "t",
}
"What it answers to what begins so, the first of them that fits."
MARIADB = {
    "SELECT VERSION": "10.11.6-MariaDB-0+deb12u1",
    "SELECT @@global.innodb_flush": "1",
    "SELECT 'gtid'": "gtid\t0-1-7",
    "SELECT 'let go'": "let go",
    "SHOW MASTER STATUS": "binlog.000001\t328\t\t",
}


def silent(machine: Machine, arguments: list[str]) -> str:
    """It has nothing to say, and changes nothing."""
    del machine, arguments
    return ""


def fsfreeze(machine: Machine, arguments: list[str]) -> str:
    what, path = arguments
    return freeze(machine, path) if what == "--freeze" else thaw(machine, path)


def freeze(machine: Machine, path: str) -> str:
    if path in machine.kernel.frozen:
        raise Refused(1, f"fsfreeze: {path}: freeze failed: Device or resource busy")
    machine.kernel.frozen.add(path)
    return ""


def thaw(machine: Machine, path: str) -> str:
    if path not in machine.kernel.frozen:
        raise Refused(1, f"fsfreeze: {path}: unfreeze failed: Invalid argument")
    machine.kernel.frozen.remove(path)
    return ""


def virsh(machine: Machine, arguments: list[str]) -> str:
    _, command, domain = arguments
    if command == "domfsfreeze":
        machine.kernel.frozen.add(domain)
    if command == "domfsthaw":
        machine.kernel.frozen.discard(domain)
    return ""


def xl(machine: Machine, arguments: list[str]) -> str:
    """«xl list»."""
    state = "--p---" if f"xen {arguments[-1]}" in machine.kernel.frozen else "-b----"
    return f"Name ID Mem VCPUs State Time(s)\n{arguments[-1]} 1 900 1 {state} 1.0\n"


def shell(machine: Machine, arguments: list[str]) -> str:
    """The scripts around «xl pause» and «xl unpause»."""
    name, domain = arguments[-2:]
    if name == "xl-pause":
        machine.kernel.frozen.add(f"xen {domain}")
    else:
        machine.kernel.frozen.discard(f"xen {domain}")
    return ""


def answer(answers: dict[str, str], query: str) -> str:
    return next((said for words, said in answers.items() if query.startswith(words)), "")


def psql(machine: Machine, arguments: list[str]) -> str:
    del machine
    return answer(POSTGRESQL, arguments[-1])


def mariadb(machine: Machine, arguments: list[str]) -> str:
    del machine
    if arguments[-1] == "BACKUP STAGE END":
        raise Refused(1, "ERROR 4146 (HY000) at line 1: You must call BACKUP STAGE START")
    return answer(MARIADB, arguments[-1])


def mongosh(machine: Machine, arguments: list[str]) -> str:
    """It evaluates what the plugin has it do, in a server in which locks are counted."""
    script, locked = arguments[-1], "mongodb" in machine.kernel.frozen
    if "fsyncUnlock" in script and not locked:
        raise Refused(1, "MongoServerError: fsyncUnlock called when not locked")
    if "throw" in script and locked:
        raise Refused(1, "Error: it is locked already")
    if "fsyncUnlock" in script:
        machine.kernel.frozen.remove("mongodb")
    if "lock: true" in script:
        machine.kernel.frozen.add("mongodb")
    return ""


def redis_cli(machine: Machine, arguments: list[str]) -> str:
    del machine
    return REDIS[arguments[-1]]


def session_of(answers: dict[str, str]) -> Callable[[str], Sequence[str]]:
    """Give a session in which each statement that has an answer gets it, on a line."""

    def answered(line: str) -> Sequence[str]:
        return [said for said in [answer(answers, line)] if said] if line else ()

    return answered


def python(machine: Machine, arguments: list[str]) -> str:
    """The programs that plugins have in Python: one writes a manifest."""
    del machine
    if "write" in arguments:
        Path(arguments[-1]).write_text("a manifest\n")
        return '{"bytes": 1}'
    return ""


def tar(machine: Machine, arguments: list[str]) -> str:
    del machine
    Path(arguments[arguments.index("--file") + 1]).write_text("an archive\n")
    return ""


def install(machine: Machine, arguments: list[str]) -> str:
    del machine
    _, source, target = arguments
    Path(target).write_bytes(Path(source).read_bytes())
    return ""


def frozen_from_outside(machine: Machine) -> None:
    """Have a guest, and another file system of this host's."""
    for name in ("web", "srv"):
        machine.add_volume(f"hostvg/{name}", plain_disk())
    (machine.root / "srv").mkdir()
    machine.kernel.mounted_at_boot.append(Mount(str(machine.root / "srv"), "/dev/hostvg/srv"))
    machine.kernel.mounts = [*machine.kernel.mounted_at_boot]
    machine.tools = {
        "fsfreeze": Tool(fsfreeze),
        "virsh": Tool(virsh),
        "ssh": Tool(silent, answers=lambda line: ["thawed"] if line else ["frozen"]),
        "xl": Tool(xl),
        "sh": Tool(shell),
    }


def databases(machine: Machine) -> None:
    """Have a guest with a database of each kind."""
    machine.add_volume("hostvg/web", plain_disk())
    (machine.root / "app.db").touch()
    machine.tools = {
        "psql": Tool(psql, answers=session_of(POSTGRESQL)),
        "mariadb": Tool(mariadb, answers=session_of(MARIADB)),
        "mongosh": Tool(mongosh),
        "redis-cli": Tool(redis_cli),
        PYTHON: Tool(python),
        "hush": Tool(silent),
    }


def archived(machine: Machine) -> None:
    """Have a guest, and a folder for archives."""
    machine.add_volume("hostvg/web", plain_disk())
    (machine.root / "archives").mkdir()
    machine.tools = {"tar": Tool(tar), "zstd": Tool(silent), "install": Tool(install), PYTHON: Tool(python)}


def told(machine: Machine) -> None:
    """Have a guest, a folder for figures, and people who cannot be reached."""
    archived(machine)
    for name, url in {"notify": "json://127.0.0.1:9/", "ping": "http://127.0.0.1:9/"}.items():
        (machine.root / f"{name}.url").write_text(f"{url}\n")
        (machine.root / f"{name}.url").chmod(0o600)
