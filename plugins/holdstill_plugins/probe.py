"""What is on a device, by blkid(8)'s low-level probing: no cache, nothing changed."""

from __future__ import annotations

import shlex

import msgspec

from holdstill.plugin import Host

NOTHING, AMBIVALENT = 2, 8
"blkid's exit codes for «no signature» and «several that contradict each other»."

PHYSICAL = "LVM2_member"
"An LVM physical volume."

ELSEWHERE = " with an external journal"
"What is added to the content of a file system whose journal is on another device."


class Probed(msgspec.Struct, frozen=True):
    """What was found."""

    content: str = ""
    "``ext4``, ``LVM2_member``, …; empty for nothing known, or nothing certain."
    aliases: tuple[str, ...] = ()
    "``UUID=…`` and ``LABEL=…``, as an fstab would have it."


def probe(host: Host, path: str, *, start: int = 0, size: int = 0) -> Probed:
    """Probe a device, or the part of it from ``start`` on that is ``size`` bytes long."""
    part = ["--offset", str(start), "--size", str(size)] if size else []
    answer = host.ask("blkid", "--probe", "--output", "export", *part, path, ok=(0, NOTHING, AMBIVALENT))
    found = dict(word.split("=", 1) for line in answer.out.splitlines() if "=" in (word := _unquoted(line)))
    aliases = [f"{key}={found[key]}" for key in ("UUID", "LABEL") if key in found]
    elsewhere = ELSEWHERE if "EXT_JOURNAL" in found else ""
    return Probed(found.get("TYPE", "") + elsewhere, tuple(aliases))


def _unquoted(line: str) -> str:
    """Undo blkid's quoting of odd characters in labels, which the guest chose."""
    try:
        return "".join(shlex.split(line)[:1])
    except ValueError:
        return ""
