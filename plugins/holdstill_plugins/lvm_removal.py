"""Remove snapshots: all that are let go of at the same time with one command.

A command of LVM's reads everything about a volume group and keeps others out of it, so several of them at once only
wait for each other. One for four snapshots takes two thirds of the time of four commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain

import msgspec

from holdstill.plugin import Answer, Host, UnavailableError, printable
from holdstill_plugins import lvm_mend
from holdstill_plugins.lvm_thin import forget_half_made
from holdstill_plugins.lvm_volumes import NOT_FOUND, Volume, find
from holdstill_plugins.together import Together

DEADLINE = 200.0
"Seconds: whoever waits for one such command, and then for its own, has ten minutes for both."


class Removal(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot that is to go, if there is a volume of that name with our tag."""

    snapshot: str
    "``VG/LV``."
    origin: str
    "``VG/LV``."
    tag: str
    look_away: str
    "What LVM's commands are told with ``--config``."

    @property
    def command(self) -> tuple[str, ...]:
        """The command, without the snapshot. LVM itself looks at the tag, so that one command is enough."""
        return "lvremove", "--yes", "--config", self.look_away, "--select", f"lv_tags={self.tag}"


class Removed(msgspec.Struct, frozen=True):
    """What became of a removal."""

    answer: Answer
    together: bool
    "Whether there was more than one."
    maps: dict[str, int]
    "All of device-mapper's maps afterwards, each with how many have it open."


_together = Together[Removal, Removed]()


def remove(one: Removal, host: Host) -> None:
    """Wake the origin, remove its snapshot, and sweep up what is left of it.

    Raises UnavailableError if it is in use.
    """
    with host.alone_with(f"/dev/{one.origin}"):
        removed = _together.done(one, partial(_remove, host), of=one.command)
        # «No such volume» and every failure, also of another one that went with it, have the same exit code.
        volume = find(one.snapshot, host, one.look_away) if removed.answer.status else None
        if volume and one.tag in volume.lv_tags.split(","):
            removed = _insist(one, volume, removed, host)
        lvm_mend.sweep(host, one.origin, one.snapshot, one.look_away, removed.maps)


def _remove(host: Host, removals: Sequence[Removal]) -> Removed:
    snapshots = [one.snapshot for one in removals]
    lvm_mend.wake_maps(
        host, *chain.from_iterable(lvm_mend.maps_of(one.origin, one.snapshot) for one in removals)
    )
    with ExitStack() as stack:
        for one in removals:
            stack.enter_context(lvm_mend.awake_after(host, one.origin, one.snapshot))
        answer = host.run(*removals[0].command, *snapshots, ok=(0, NOT_FOUND), deadline=DEADLINE)
    return Removed(answer, len(removals) > 1, lvm_mend.openers_of_maps(host))


def _insist(one: Removal, volume: Volume, removed: Removed, host: Host) -> Removed:
    """Try again where it was another one that LVM refused, or what was in the way is put right; fail otherwise."""
    half_made = volume.is_thin and forget_half_made(volume, host)
    if removed.together or half_made:
        removed = _remove(host, [one])
    if removed.answer.status:
        raise UnavailableError(f"lvremove says: {printable(removed.answer.err.strip())}")
    return removed
