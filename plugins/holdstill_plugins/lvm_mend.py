"""Bring an origin back after an LVM command that did not end well.

SIGKILL in the critical section of lvcreate or lvremove can leave the *origin* suspended (the live guest's disk
hangs until somebody resumes it), with a table loaded that was never made live, or with maps that LVM has
forgotten. The order here is bottom up, and a table that waits is cleared before its map is resumed: resuming into a
half-made table would give the guest an I/O error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from holdstill.plugin import Host

FIELDS = "name,suspended,tables_loaded"
A_MOMENT = 1.0
"Seconds: longer than LVM keeps a volume suspended."


class Map(msgspec.Struct, frozen=True):
    """The state of a device-mapper map (dmsetup(8), «info --columns»)."""

    suspended: bool
    two_tables: bool


@contextmanager
def awake_after(host: Host, origin: str, snapshot: str) -> Iterator[None]:
    """Run an LVM command inside; if it does not end well, wake the origin at once, before anything else."""
    try:
        yield
    except BaseException:
        wake(host, origin, snapshot)
        raise


def wake(host: Host, origin: str, snapshot: str) -> None:
    """Resume what is suspended of an origin and its snapshot (``VG/LV`` each). Nothing to do is the rule.

    A healthy LVM command of somebody else's suspends them for a moment, too: only what is the same after a pause
    was left behind.
    """
    names = (f"{_mapped(origin)}-real", f"{_mapped(snapshot)}-cow", _mapped(origin), _mapped(snapshot))
    asleep = {name: found for name, found in _maps(host).items() if name in names and found != AWAKE}
    if not asleep:
        return
    host.pause(A_MOMENT)
    maps = _maps(host)
    for name in [name for name in names if name in asleep and maps.get(name) == asleep[name]]:
        if asleep[name].two_tables:
            host.run("dmsetup", "clear", name)
        if asleep[name].suspended:
            host.run("dmsetup", "resume", name)


def sweep(host: Host, origin: str, snapshot: str) -> None:
    """When LVM has no such snapshot any more: remove its maps that are left, and give the origin its own table."""
    maps = _maps(host)
    for name in (_mapped(snapshot), f"{_mapped(snapshot)}-cow"):
        if name in maps:
            host.run("dmsetup", "remove", "--retry", name)
    if f"{_mapped(origin)}-real" in maps and not _has_snapshots(host, origin):
        host.run("lvchange", "--refresh", origin)


def _has_snapshots(host: Host, origin: str) -> bool:
    """Whether LVM knows other snapshots of the origin: then its ``-real`` map is theirs."""
    group, _, name = origin.partition("/")
    answer = host.ask("lvs", "--noheadings", "--options", "lv_name", "--select", f"origin={name}", group)
    return bool(answer.out.strip())


AWAKE = Map(suspended=False, two_tables=False)


def _maps(host: Host) -> dict[str, Map]:
    answer = host.ask("dmsetup", "info", "--columns", "--noheadings", "--separator", " ", "--options", FIELDS)
    rows = (line.split() for line in answer.out.splitlines())
    return {
        row[0]: Map(row[1] == "Suspended", row[2] == "Both")
        for row in rows
        if len(row) == len(FIELDS.split(","))
    }


def _mapped(volume: str) -> str:
    """``VG/LV`` as device-mapper names it: dashes doubled."""
    group, _, name = volume.partition("/")
    return f"{group.replace('-', '--')}-{name.replace('-', '--')}"
