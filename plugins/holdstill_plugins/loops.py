"""Loop devices on a part of a file or device, found again by what they are on, never by their number.

A loop device's number is known only after it is attached, and somebody else has it after a reboot. What it
is on is known before, and bears the run's id.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from holdstill.plugin import (
    Facts,
    Hold,
    Host,
    Layer,
    Promised,
    Search,
    Stray,
    UnavailableError,
)
from holdstill_plugins.nbd_servers import is_anothers, serves
from holdstill_plugins.run_names import run_behind


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a file or device."""

    store: str
    start: int = 0
    "Bytes."
    size: int = 0
    "Bytes; 0 for all of it."
    read_only: bool = False


def attach(window: Window, name: str, hold: Hold, host: Host) -> str:
    """Attach a loop device to ``window``, having promised to detach it; give its path."""
    return _attach(window, name, hold, host)[1]


@contextmanager
def attached(window: Window, name: str, hold: Hold, host: Host) -> Iterator[str]:
    """Attach a loop device for a moment only."""
    made, path = _attach(window, name, hold, host)
    yield path
    host.run("losetup", "--detach", path)
    hold.undone(made)


def _attach(window: Window, name: str, hold: Hold, host: Host) -> tuple[Promised, str]:
    store = shlex.quote(window.store)
    found = f"losetup --noheadings --output NAME --associated {store} --offset {window.start}"
    made = hold.promise(
        f"loop device of {name}",
        by_hand=f"{found} | xargs --no-run-if-empty losetup --detach",
        store=window.store,
        start=window.start,
        size=window.size,
        served=serves(window.store, host),
    )
    answer = host.run("losetup", "--find", "--show", *_arguments(window), planned=f"<loop device of {name}>")
    return made, answer.out.strip()


def _arguments(window: Window) -> list[str]:
    part = ["--offset", str(window.start), "--sizelimit", str(window.size)] if window.size else []
    return [*(["--read-only"] if window.read_only else []), *part, window.store]


def on(store: str, host: Host) -> dict[str, tuple[int, int]]:
    """Give the loop devices on ``store`` with their offset and size limit in bytes."""
    answer = host.ask(
        "losetup", "--json", "--list", "--output", "NAME,OFFSET,SIZELIMIT", "--associated", store
    )
    listed = json.loads(answer.out or "{}").get("loopdevices", [])
    return {loop["name"]: (int(loop["offset"]), int(loop["sizelimit"])) for loop in listed}


def promised(facts: Facts, host: Host) -> list[str]:
    """Give the loop devices of a promise; those on an NBD device that serves something else now are somebody else's."""
    store, window = str(facts["store"]), (facts["start"], facts["size"])
    if is_anothers(store, facts, host):
        return []
    return [loop for loop, at in on(store, host).items() if at == window]


def detach(facts: Facts, host: Host) -> None:
    """Detach the loop device of a promise.

    ``losetup --detach`` of one that is in use succeeds and does nothing until its last user is gone, so look
    again. Raises UnavailableError while it is in use.
    """
    loops = promised(facts, host)
    for loop in loops:
        host.run("losetup", "--detach", loop, ok=(0, 1))
    for loop in loops:
        if host.look(f"/sys/block/{loop.rpartition('/')[2]}/loop"):
            raise UnavailableError(f"{loop} is still in use")


def runs(host: Host) -> dict[str, str]:
    """Give the loop devices that are on something of ours, each with the id of the run whose that is."""
    listed = json.loads(host.ask("losetup", "--json", "--list", "--output", "NAME,BACK-FILE").out or "{}")
    on_what = {loop["name"]: str(loop["back-file"]) for loop in listed.get("loopdevices", [])}
    found = {loop: run_behind(store, host) for loop, store in on_what.items()}
    return {loop: run for loop, run in found.items() if run}


def strays(search: Search, host: Host) -> list[Stray]:
    """Find loop devices on what is ours."""
    return [
        Stray(
            what=f"loop device {loop}",
            by_hand=f"losetup --detach {loop}",
            layer=Layer.DEVICE,
            run=run,
        )
        for loop, run in runs(host).items()
        if search.is_stray(run)
    ]
