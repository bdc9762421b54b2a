"""Bring an origin back after an LVM command that did not end well.

SIGKILL in the critical section of lvcreate or lvremove can leave the *origin* suspended (the live guest's disk
hangs until somebody resumes it), with a table loaded that was never made live, or with maps that LVM has
forgotten. The order here is bottom up, and a table that waits is cleared before its map is resumed: resuming into a
half-made table would give the guest an I/O error.
"""

from __future__ import annotations

import msgspec

from holdstill.plugin import Host

FIELDS = "name,suspended,tables_loaded"


class Map(msgspec.Struct, frozen=True):
    """The state of a device-mapper map (dmsetup(8), «info --columns»)."""

    suspended: bool
    two_tables: bool


def wake(host: Host, origin: str, snapshot: str) -> None:
    """Resume what is suspended of an origin and its snapshot (``VG/LV`` each). Nothing to do is the rule."""
    maps = _maps(host)
    for name in (f"{_mapped(origin)}-real", f"{_mapped(snapshot)}-cow", _mapped(origin), _mapped(snapshot)):
        found = maps.get(name)
        if found and found.two_tables:
            host.run("dmsetup", "clear", name)
        if found and found.suspended:
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
    answer = host.ask(
        "lvs", "--noheadings", "--options", "lv_name", "--select", f"origin={name}", group, ok=(0, 5)
    )
    return bool(answer.out.strip())


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
