"""A configuration that does what the script did, with comments on what became better."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePath
from textwrap import indent, wrap
from typing import NamedTuple

from holdstill.config.load import NAME as NAME_OF_JOB
from holdstill.legacy.script import OldGuest, OldScript
from holdstill.text import printable

JOB = "guests"
"What the job is called, if the folder of the script's mounts gives it no name."
TREES = "/run/holdstill"
WORD = re.compile(r"[A-Za-z/][A-Za-z0-9/_.@-]*")
"What YAML takes for text without quotes; also some words that it does not, see :data:`NO_TEXT`."
NO_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}

GUESTS = """
    The names of the host's volume group and of those inside the guests need not differ any more. A snapshot is
    extended before it is full; if it is lost all the same, the job fails, rather than keep a backup of half a guest.
    What is inside a disk is read where its partition table says it is: /boot need not begin at sector 63. The guest's
    volume group is not activated on the host. Besides / and /boot, all that the guest's own fstab mounts is mounted,
    read-only, and nothing of it can be run. What nobody mounts fails the job by name, until «leave-out» names it.
"""
JOBS = """
    All guests together, for «holdstill pre {job}» and «holdstill post {job}»: the script's «mount» and «umount». If one
    cannot be held, none is, and «pre» fails. What a crash leaves behind is let go of by the next call, or by
    «holdstill recover».
"""
RELEASE = "The script slept twice for 300 s, every time. This is the longest; it goes on when the last reader has gone."
LEASE = "A hold whose «umount» never comes counts as abandoned after this time."
SERVICE = (
    "SVC_SHUTDOWN: stopped only if it is what keeps a guest in use, after {grace}; started again in any case."
)
REBOOT = "SHUTDOWN: only if letting go has failed to the end, at most once a day, and it can be called off."
NO_SERVICE = "To have the service stopped that keeps a guest in use: - service: {units: [NAME]}"
NO_REBOOT = "To have the host rebooted if nothing else helps: - reboot: {really: true}"
LEFT_OUT = "Not taken over:"


class Place(NamedTuple):
    """Where the guests' trees are to be, so that the backup finds them where they were."""

    job: str
    trees: str

    @classmethod
    def of(cls, mounted_in: str) -> Place:
        """Keep the paths, if the folder may come and go with the job: one directly beneath / may not."""
        folder = PurePath(mounted_in)
        if NAME_OF_JOB.fullmatch(folder.name) and folder.parent.name:
            return cls(folder.name, str(folder.parent))
        return cls(JOB, TREES)

    @property
    def folder(self) -> str:
        """The folder of all guests' trees."""
        return f"{self.trees}/{self.job}"


def configuration(old: OldScript, folder: str) -> str:
    """Write it as YAML."""
    place = Place.of(old.mounted_in)
    parts = [
        "".join(_heading(old, folder, place)),
        _comment(GUESTS) + "guests:\n" + "\n".join(map(_guest, old.guests)),
        _comment(JOBS.format(job=place.job)) + "jobs:\n" + "".join(_job(old, place.job)),
    ]
    return "\n".join(parts)


def _heading(old: OldScript, folder: str, place: Place) -> Iterator[str]:
    yield _comment(f"Written by «holdstill import {folder}» from {', '.join(old.files)}.")
    moved = old.mounted_in and old.mounted_in != place.folder
    yield _comment(
        f"While they are held, the guests' files are in {place.folder}/GUEST"
        + (f", no longer in {old.mounted_in}: tell your backup software." if moved else ".")
        + (
            f" For that, call «holdstill --trees={place.trees} pre {place.job}»."
            if place.trees != TREES
            else ""
        )
    )
    if old.left_out:
        yield "#\n" + _comment(LEFT_OUT)
        yield from (_comment(f"- {sentence}", more="  ") for sentence in old.left_out)


def _guest(guest: OldGuest) -> str:
    lines = [f"{_text(guest.name)}:", f"  disks: [{_text(guest.disk)}]"]
    if guest.size and guest.disk.startswith("/dev/"):
        lines.append(f"  snapshot: {{lvm: {{size: {_text(guest.size)}}}}}")
    if guest.root:
        lines.append(f"  open: [partitions, guest-lv, mount: {{root: {_text(guest.root)}}}]")
    return indent("\n".join(lines) + "\n", "  ")


def _job(old: OldScript, job: str) -> Iterator[str]:
    names = ", ".join(_text(guest.name) for guest in old.guests)
    yield f"  {_text(job)}:\n    guests: [{names}]\n"
    yield _comment(LEASE, "    ") + "    lease: 1d\n"
    yield _comment(RELEASE, "    ") + "    release-within: 10m\n"
    if old.service or old.reboots:
        yield "    around:\n"
    if old.service:
        yield _comment(SERVICE.format(grace="5m"), "      ")
        yield f"      - service: {{units: [{_text(old.service)}], grace: 5m}}\n"
    if old.reboots:
        yield _comment(REBOOT, "      ") + "      - reboot: {really: true}\n"
    if not old.service:
        yield _comment(f"{_not_on(old, 'SVC_SHUTDOWN')} {NO_SERVICE}", "    ")
    if not old.reboots:
        yield _comment(f"{_not_on(old, 'SHUTDOWN')} {NO_REBOOT}", "    ")


def _not_on(old: OldScript, word: str) -> str:
    return f"What {word} was is not known: see above." if word in old.unknown else f"{word} was off."


def _comment(text: str, before: str = "", more: str = "") -> str:
    lines = wrap(printable(" ".join(text.split())), 100, subsequent_indent=more, break_long_words=False)
    return "".join(f"{before}# {line}\n" for line in lines)


def _text(word: str) -> str:
    """Write a text for YAML: with quotes, unless it can be taken for nothing else."""
    plain = WORD.fullmatch(word) and word.lower() not in NO_TEXT
    return word if plain else json.dumps(word, ensure_ascii=False)
