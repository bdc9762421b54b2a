"""What takes long to make is made once, and kept in the user's cache under a name that says from what."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

DAY = 24 * 3600.0


def cache() -> Path:
    """Return the folder where the lab keeps things."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "holdstill-lab"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """Return the kept folder ``name``; let ``make`` fill it first, in an empty folder, if there is none."""
    kept = cache() / name
    with _alone():
        if not kept.exists():
            _make(kept, make)
        os.utime(kept)
        _forget_unused()
    return kept


def _make(kept: Path, make: Callable[[Path], None]) -> None:
    with tempfile.TemporaryDirectory(dir=cache(), prefix="building-") as work:
        fresh = Path(work) / "fresh"
        fresh.mkdir()
        make(fresh)
        fresh.rename(kept)


def _forget_unused() -> None:
    """Remove what nothing has asked for in a month, and after a day the rests of a killed session."""
    for folder in filter(Path.is_dir, cache().iterdir()):
        kept_for = DAY if folder.name.startswith(("building-", "session-")) else 30 * DAY
        if time.time() - folder.stat().st_mtime > kept_for:
            shutil.rmtree(folder)


@contextmanager
def _alone() -> Iterator[None]:
    with (cache() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
