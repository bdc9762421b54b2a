"""The origins: the guests' live disks, which are looked at and never touched."""

from __future__ import annotations

import json
from typing import Any

from holdstill.errors import ExitCode, NotFoundError
from holdstill.host import Host, NodeKind
from holdstill.run.job import Guest
from holdstill.words import Complaint, Device


def looked_at(host: Host, guest: Guest) -> Guest:
    """Give the guest with its origins in all its steps. Raises NotFoundError if one is not there."""
    return guest.with_steps(disks=tuple(_origin(host, guest, number) for number in range(len(guest.disks))))


def _origin(host: Host, guest: Guest, number: int) -> Device:
    path = guest.disks[number]
    node = host.look(path)
    if node is None:
        raise NotFoundError(f"{_missing(guest, path)}")
    return Device(name=f"disk{number + 1}", path=path, store=path, size=node.size)


def complaints_about(host: Host, guest: Guest) -> list[Complaint]:
    """Complain of disks that are missing, are no disks, or are in use by the host itself."""
    found: list[Complaint] = []
    for path in guest.disks:
        node = host.look(path)
        if node is None:
            found.append(Complaint(_missing(guest, path), ExitCode.NO_INPUT))
        elif node.kind not in {NodeKind.BLOCK, NodeKind.FILE}:
            found.append(
                Complaint(f"{path} of guest {guest.name} is a {node.kind}, not a disk.", ExitCode.NO_INPUT)
            )
        elif not guest.mounted_here and (where := mounted_read_write(host, path, node.kind)):
            found.append(
                Complaint(
                    f"{path} of guest {guest.name} is mounted read-write on this host, at {where}: it is the host's "
                    "own, or a running guest's that is being damaged. Unmount it, or name the right disk; or, if it is "
                    "a volume of the host's own that is to be backed up, write 'mounted-here: true'."
                )
            )
    return found


def mounted_read_write(host: Host, path: str, kind: NodeKind) -> str:
    """Say where a disk, or anything on it, is mounted read-write in our mount namespace; empty if nowhere."""
    writable = _writable_mounts(host)
    for device in [path] if kind is NodeKind.BLOCK else _loops_on(host, path):
        for number in _numbers(host, device):
            if number in writable:
                return writable[number]
    return ""


def _writable_mounts(host: Host) -> dict[str, str]:
    """Device number to mount point (proc_pid_mountinfo(5): field 3, 5 and 6)."""
    lines = (line.split(" ") for line in host.read("/proc/self/mountinfo").split("\n") if line)
    found: dict[str, str] = {}
    for fields in [fields for fields in lines if "rw" in fields[5].split(",")]:
        found[fields[2]] = fields[4]
        source = fields[fields.index("-", 6) + 2]
        node = host.look(source) if source.startswith("/dev/") else None
        if node:  # btrfs has a device number of its own making
            found[node.number] = fields[4]
    return found


def _loops_on(host: Host, path: str) -> list[str]:
    answer = host.ask("losetup", "--json", "--list", "--output", "NAME", "--associated", path)
    listed: list[dict[str, str]] = json.loads(answer.out or "{}").get("loopdevices", [])
    return [loop["name"] for loop in listed]


def _numbers(host: Host, device: str) -> list[str]:
    """Device numbers of a device and of all that is made of it."""
    answer = host.ask("lsblk", "--json", "--output", "MAJ:MIN", device, ok=(0, 32))
    found: list[str] = []
    waiting: list[dict[str, Any]] = json.loads(answer.out or "{}").get("blockdevices", [])
    while waiting:
        entry = waiting.pop()
        found.append(entry["maj:min"].strip())
        waiting += entry.get("children", [])
    return found


def _missing(guest: Guest, path: str) -> str:
    return (
        f"{path}, a disk of guest {guest.name}, does not exist. Is its volume active, or the path misspelt?"
    )
