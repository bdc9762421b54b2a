"""Who serves an NBD device: its number is free again when it is disconnected, or after a reboot."""

from __future__ import annotations

import re

from holdstill.plugin import Facts, Host

PREFIX = "/dev/nbd"
GROUP = re.compile(r"^Tgid:\s*(\d+)", re.MULTILINE)
"The process of a thread (proc_pid_status(5))."


def server(device: str, host: Host) -> str:
    """Give the id of the process that serves a device, of which the kernel names a thread; empty for none."""
    thread = _read(f"/sys/block/{device.removeprefix('/dev/')}/pid", host).strip()
    found = GROUP.search(_read(f"/proc/{thread}/status", host)) if thread else None
    return found[1] if found else ""


def words(pid: str, host: Host) -> list[str]:
    """Give a process's command line; empty when it has ended."""
    return _read(f"/proc/{pid}/cmdline", host).split("\0")[:-1] if pid else []


def serves(device: str, host: Host) -> str:
    """Say what shows on a device now, by its server's command line; empty for what is served by nobody."""
    return " ".join(words(server(device, host), host)) if device.startswith(PREFIX) else ""


def is_anothers(device: str, facts: Facts, host: Host) -> bool:
    """Tell whether a device shows what a promise was not made of, which says in ``served`` what it showed then."""
    return serves(device, host) not in {"", facts.get("served", "")}


def _read(path: str, host: Host) -> str:
    """Read what the kernel shows; empty for what has just gone."""
    try:
        return host.read(path)
    except OSError:
        return ""
