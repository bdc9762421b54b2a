"""What the doubles of callers have in common: they cannot be installed here, so their contracts are replayed.

What a double does, its docstring says; it reads what it starts to the end of its output, as the real ones do.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

LIMIT = 180.0
"Seconds after which what a double waits for will not come."


def read(folder: Path) -> dict[str, str]:
    """Read a tree of files as a backup would: what is not there is an error."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def overflowing(place):
    """The snapshot does not last to the end of the backup."""
    text = place.config.read_text()
    place.config.write_text(text.replace("snapshot: stranger", "snapshot: {stranger: {overflow: true}}"))
    return place


@pytest.fixture
def lingering(place) -> Iterator[None]:
    """Something that a plugin begins lives on, and would keep open whatever it was given."""
    pid = place.root / "pid"
    place.write(open_=f"{{stranger: {{then: 'sh -c \"sleep 600 & echo $! > {pid}\"'}}}}")
    yield
    os.kill(int(pid.read_text()), signal.SIGKILL)
