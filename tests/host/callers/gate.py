"""Where a backup waits, so that a test can do something to it halfway."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LIMIT = 600.0
"Seconds after which a condition that we wait for will not come."


class Gate:
    """A file to be read; while the gate is shut, a FIFO, at which the reader waits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writers: list[int] = []
        path.touch()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Whoever comes waits until the block ends."""
        self.path.unlink()
        os.mkfifo(self.path)
        try:
            yield
        finally:
            self.open()

    def wait_until_reached(self) -> None:
        """Wait until somebody waits at the gate."""
        eventually(self._is_reached)

    def _is_reached(self) -> bool:
        with suppress(OSError):  # nobody reads: ENXIO
            self._writers.append(os.open(self.path, os.O_WRONLY | os.O_NONBLOCK))
        return bool(self._writers)

    def open(self) -> None:
        """Let go on whoever waits, and whoever comes."""
        while self._writers:
            os.close(self._writers.pop())
        self.path.unlink()
        self.path.touch()


def eventually(condition: Callable[[], object], pause: float = 0.01) -> None:
    """Wait for a condition, with a limit; look again after each pause, of so many seconds."""
    ends = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < ends, "it did not come in time"
        time.sleep(pause)
