"""What root takes for its own, only root may write: configurations, plugins, journals and trees."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from holdstill.errors import PermissionRefusedError


def insist_on(path: Path) -> None:
    """Raise PermissionRefusedError if somebody else may write ``path``, or put something else in its place."""
    if found := written_by_others(path):
        raise PermissionRefusedError(
            f"{path} is root's own, but others may write {'it' if found == path else found}; "
            f"make it safe with «chown root {found}; chmod go-w {found}»."
        )


def written_by_others(path: Path) -> Path | None:
    """Give what somebody else may write: ``path``, what it is a link to, or a folder above; ``None`` if nothing.

    Whoever may write a folder can put another one in the place of each that is in it. In a folder such as /tmp, where
    each may only touch what is their own (sticky(7)), others cannot: one may be above, but not be ``path`` itself.
    Nor may it be what ``path`` is still to be made in: somebody else could be first.
    """
    real = Path(os.path.realpath(path))
    there = [place for place in (real, *real.parents) if _exists(place)]
    return next((place for place in there if _of_others(place, above=place != there[0])), None)


def _exists(path: Path) -> bool:
    try:
        path.stat()
    except OSError:  # not there, or not for us to see: then we cannot use it either
        return False
    return True


def _of_others(place: Path, *, above: bool) -> bool:
    found = place.stat()
    if found.st_uid not in {0, os.geteuid()}:
        return True
    sticky = above and found.st_mode & stat.S_ISVTX
    return bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)) and not sticky
