"""Bring an origin back after an LVM command that did not end well.

SIGKILL in the critical section of lvcreate or lvremove can leave the *origin* suspended, with a table loaded that
was never made live, or with maps that LVM has forgotten. The order here is bottom up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from holdstill.plugin import CommandStuckError, Host
from holdstill_plugins import lvm_awake, lvm_watch
from holdstill_plugins.lvm_names import map_name
from holdstill_plugins.lvm_volumes import find


@contextmanager
def awake_after(host: Host, origin: str, volume: str) -> Iterator[None]:
    """Run an LVM command inside that names ``volume``, a snapshot of ``origin`` or itself (``VG/LV`` each).

    If it does not end well, the origin is woken at once; if we do not live to do it, the watchdog does. A command
    that is stuck is still at work, so the watchdog is not told of an end.
    """
    key = volume.rpartition("/")[2]
    lvm_watch.begin(host, key, maps_of(origin, volume))
    try:
        yield
    except BaseException as error:
        with host.shielded():
            wake(host, origin, volume)
        if not isinstance(error, CommandStuckError):
            lvm_watch.end(host, key)
        raise
    lvm_watch.end(host, key)


def wake(host: Host, origin: str, snapshot: str) -> None:
    """Resume what is suspended of an origin and its snapshot (``VG/LV`` each)."""
    wake_maps(host, *maps_of(origin, snapshot))


def maps_of(origin: str, snapshot: str) -> tuple[str, ...]:
    """Give their maps, bottom up."""
    top, copy = map_name(origin), map_name(snapshot)
    return f"{top}-real", f"{copy}-cow", top, copy


def wake_maps(host: Host, *maps: str) -> None:
    """Resume those of the maps that were left suspended, in that order."""
    lvm_awake.wake(maps, lambda *arguments: host.run("dmsetup", *arguments).out, host.pause)


def sweep(host: Host, origin: str, snapshot: str, look_away: str, left: Collection[str]) -> None:
    """If LVM has no such snapshot any more, remove its maps that are ``left``, and give the origin its own table."""
    copy, real = map_name(snapshot), f"{map_name(origin)}-real"
    if not {copy, f"{copy}-cow", real} & set(left) or find(snapshot, host, look_away):
        return
    for name in (copy, f"{copy}-cow"):
        if name in left:
            host.run("dmsetup", "remove", "--retry", name)
    openers = openers_of_maps(host).get(real)
    if openers is None or _has_snapshots(host, origin, look_away):
        return
    if openers:
        with awake_after(host, origin, origin):
            host.run("lvchange", "--config", look_away, "--refresh", origin)
    else:  # made, and never used: LVM does not look for it
        host.run("dmsetup", "remove", "--retry", real)


def openers_of_maps(host: Host) -> dict[str, int]:
    """All maps, each with how many have it open. One that was never made live has no name in /dev."""
    columns = ("--columns", "--noheadings", "--separator", " ", "--options", "name,open")
    lines = host.ask("dmsetup", "info", *columns).out.splitlines()
    rows = [line.split() for line in lines if line != "No devices found"]
    return {name: int(count) for name, count in rows}


def _has_snapshots(host: Host, origin: str, look_away: str) -> bool:
    """Whether LVM knows other snapshots of the origin: then its ``-real`` map is theirs."""
    group, _, name = origin.partition("/")
    fields = ("--noheadings", "--options", "lv_name", "--select", f"origin={name}")
    answer = host.ask("lvs", "--config", look_away, *fields, group)
    return bool(answer.out.strip())
