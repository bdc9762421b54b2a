"""Names for what LVM makes for us."""

from __future__ import annotations

import hashlib

LONGEST = 24


def safe_name(guest: str) -> str:
    """Give a guest's name as a part of a volume's name.

    LVM keeps names with «_cow», «_tdata» and the like for itself, so no underscore stays; and names may be cut, so
    four digits of a digest tell two guests of one job apart.
    """
    digest = hashlib.sha256(guest.encode()).hexdigest()[:4]
    return f"{guest.replace('_', '.')[:LONGEST]}.{digest}"


def map_name(volume: str) -> str:
    """``VG/LV`` as device-mapper names it: dashes doubled."""
    group, _, name = volume.partition("/")
    return f"{group.replace('-', '--')}-{name.replace('-', '--')}"
