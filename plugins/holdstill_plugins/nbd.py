"""NBD devices served by qemu-nbd(8), found again by the copy that they serve, never by their number.

A device's number is free again when it is disconnected, and somebody else has it after a reboot. What it
serves is on the command line of its server, and bears the run's id.
"""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator
from typing import Any

from holdstill.plugin import (
    Hold,
    Host,
    Layer,
    NotPlannableError,
    Search,
    Stray,
    UnavailableError,
)
from holdstill_plugins import loops
from holdstill_plugins.nbd_servers import PREFIX, server, words
from holdstill_plugins.run_names import run_behind

FIRST = f"{PREFIX}0"
WITHIN = 300
"Seconds for which other runs may be connecting devices."
TAKEN = "Failed to set NBD socket"
"What qemu-nbd says when somebody else has the device, or was faster."
PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, *[1.0] * 30)
"Seconds; the kernel tells no event that can be waited for."


def connect(copy: str, size: int, name: str, hold: Hold, host: Host) -> str:
    """Serve a qcow2 file of ``size`` bytes inside, having promised to end that; give the device's path.

    One run after the other: of two that take the same device while they start, one may hang (seen with qemu-nbd 7.2,
    on a machine with one processor).
    """
    hold.promise(f"NBD device of {name}", by_hand=_by_hand(copy), served=copy)
    with host.alone_with(FIRST, within=WITHIN):
        device = _connect(copy, size, name, host)
    _hide_partitions(device, host)
    return device


def _connect(copy: str, size: int, name: str, host: Host) -> str:
    for device in _free(host):
        argv = ("qemu-nbd", f"--connect={device}", "--format=qcow2", copy)
        answer = host.run(*argv, ok=(0, 1), planned=f"<NBD device of {name}>")
        if answer.out:  # of a plan only: qemu-nbd itself prints nothing
            raise NotPlannableError(f"what is inside {copy} is known once {answer.out} is there")
        if answer.status == 0:
            _wait_for(device, copy, size, host)
            return device
        if TAKEN not in answer.err:
            raise UnavailableError(f"qemu-nbd cannot serve {copy} at {device}: {answer.err.strip()}")
    raise UnavailableError(
        "No NBD device is free. Wait until one is, or have more: «modprobe --remove nbd; modprobe nbd nbds_max=64»."
    )


def _by_hand(copy: str) -> str:
    served = f"grep -qsxzF {shlex.quote(copy)} /proc/$(cat $nbd/pid 2>/dev/null)/cmdline"
    return (
        f"for nbd in /sys/block/nbd*; do if {served}; then qemu-nbd --disconnect /dev/${{nbd##*/}}; fi; done"
    )


def _devices(host: Host) -> Iterator[str]:
    """Give all NBD devices: the kernel numbers them without a gap."""
    paths = (f"{PREFIX}{number}" for number in itertools.count())
    return itertools.takewhile(host.look, paths)


def _free(host: Host) -> Iterator[str]:
    """Give devices that seem to be free; whoever connects first has one."""
    return (device for device in _devices(host) if not server(device, host))


def _wait_for(device: str, copy: str, size: int, host: Host) -> None:
    """Wait until the kernel shows what is served; qemu-nbd goes into the background a moment before."""
    for pause in PAUSES:
        node = host.look(device)
        if device in serving(copy, host) and node and node.size == size:
            return
        host.pause(pause)
    raise UnavailableError(f"{device} does not show the {size} bytes of {copy}; see «dmesg».")


def _hide_partitions(device: str, host: Host) -> None:
    """Take the partitions that the kernel has found out of its sight: the host's LVM would see what is on them."""
    for pause in PAUSES:
        host.run("partx", "--delete", device, ok=(0, 1))
        if not any(_is_partition(entry, device) for entry in _made_of(device, host)):
            return
        host.pause(pause)
    raise UnavailableError(
        f"a partition of {device} is in use on this host; see «lsblk {device}» for what uses it"
    )


def serving(copy: str, host: Host) -> list[str]:
    """Give the devices that serve ``copy``."""
    return [device for device in _devices(host) if copy in words(server(device, host), host)]


def disconnect(copy: str, host: Host) -> None:
    """End the serving of ``copy``, and wait until it has ended.

    Raises UnavailableError while something uses it: qemu-nbd would take the device away from under a mount.
    """
    for device in serving(copy, host):
        if users := [*loops.on(device, host), *_users(device, host)]:
            raise UnavailableError(f"{device} is still in use by {', '.join(users)}")
        pid = server(device, host)
        host.run("qemu-nbd", "--disconnect", device)
        _wait_for_end(pid, device, copy, host)


def _wait_for_end(pid: str, device: str, copy: str, host: Host) -> None:
    for pause in PAUSES:
        if copy not in words(pid, host) and device not in serving(copy, host):
            return
        host.pause(pause)
    raise UnavailableError(f"process {pid} still serves {copy} at {device}")


def _users(device: str, host: Host) -> list[str]:
    """Give what is mounted from a device, or made of it; partitions that only the kernel knows do not count."""
    found = _made_of(device, host)
    return [
        entry["mountpoint"] or entry["name"]
        for entry in found
        if entry["mountpoint"] or not (entry["name"] == device or _is_partition(entry, device))
    ]


def _is_partition(entry: dict[str, Any], device: str) -> bool:
    """Tell a partition of the kernel's by its name; lsblk says that a map of kpartx(8) is of the same type."""
    return str(entry["kname"]).startswith(f"{device}p")


def _made_of(device: str, host: Host) -> Iterator[dict[str, Any]]:
    """Give what lsblk(8) tells of a device, and of all that is made of it."""
    answer = host.ask("lsblk", "--json", "--paths", "--output", "NAME,KNAME,MOUNTPOINT", device)
    waiting: list[dict[str, Any]] = json.loads(answer.out)["blockdevices"]
    while waiting:
        entry = waiting.pop()
        yield entry
        waiting += entry.get("children", [])


def strays(search: Search, host: Host) -> list[Stray]:
    """Find devices that serve a copy of ours."""
    return [
        Stray(
            what=f"NBD device {device}",
            by_hand=f"qemu-nbd --disconnect {device}",
            layer=Layer.SNAPSHOT,
            run=run,
        )
        for device in _devices(host)
        if search.is_stray(run := run_behind(device, host))
    ]
