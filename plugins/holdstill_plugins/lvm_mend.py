"""Bring an origin back after an LVM command that did not end well.

SIGKILL in the critical section of lvcreate or lvremove can leave the *origin* suspended, with a table loaded that
was never made live, or with maps that LVM has forgotten. The order here is bottom up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdstill.plugin import Host
from holdstill_plugins import lvm_awake
from holdstill_plugins.lvm_names import map_name
from holdstill_plugins.lvm_volumes import find


@contextmanager
def awake_after(host: Host, origin: str, snapshot: str) -> Iterator[None]:
    """Run an LVM command inside; if it does not end well, wake the origin at once, before anything else."""
    try:
        yield
    except BaseException:
        wake(host, origin, snapshot)
        raise


def wake(host: Host, origin: str, snapshot: str) -> None:
    """Resume what is suspended of an origin and its snapshot (``VG/LV`` each)."""
    top, copy = map_name(origin), map_name(snapshot)
    wake_maps(host, f"{top}-real", f"{copy}-cow", top, copy)


def wake_maps(host: Host, *maps: str) -> None:
    """Resume those of the maps that were left suspended, in that order."""
    lvm_awake.wake(maps, lambda *arguments: host.run("dmsetup", *arguments).out, host.pause)


def sweep(host: Host, origin: str, snapshot: str, look_away: str) -> None:
    """If LVM has no such snapshot any more, remove its maps that are left, and give the origin its own table."""
    left = (map_name(snapshot), f"{map_name(snapshot)}-cow", f"{map_name(origin)}-real")
    if not any(host.look(f"/dev/mapper/{name}") for name in left) or find(snapshot, host, look_away):
        return
    maps = host.ask("dmsetup", "info", "--columns", "--noheadings", "--options", "name").out.split()
    for name in left[:2]:
        if name in maps:
            host.run("dmsetup", "remove", "--retry", name)
    if left[2] in maps and not _has_snapshots(host, origin, look_away):
        host.run("lvchange", "--config", look_away, "--refresh", origin)


def _has_snapshots(host: Host, origin: str, look_away: str) -> bool:
    """Whether LVM knows other snapshots of the origin: then its ``-real`` map is theirs."""
    group, _, name = origin.partition("/")
    fields = ("--noheadings", "--options", "lv_name", "--select", f"origin={name}")
    answer = host.ask("lvs", "--config", look_away, *fields, group)
    return bool(answer.out.strip())
