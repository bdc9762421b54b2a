"""One session of the lab: what all its machines share, and the folder that is gone afterwards."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

from .cache import cache
from .commands import LabError
from .image import image
from .kinds import PLAIN, Kind
from .machine import Machine
from .python_tree import python_tree
from .qemu import Shares

CHECKOUT = Path(__file__).parents[2]
NOT_COPIED = (".git", ".venv", ".*_cache", ".hypothesis", "__pycache__")


class Lab:
    """Makes machines, which see the checkout as it was at the first one, or as it is now if ``live``."""

    def __init__(self, tell: Callable[[str], None], *, live: bool = False) -> None:
        self._tell = tell
        self._live = live
        self._machines: list[Machine] = []
        self._closed = False
        self._making = threading.Lock()
        self._temporary = tempfile.TemporaryDirectory(dir=cache(), prefix="session-")
        self.folder = Path(self._temporary.name)

    def machine(self, kind: Kind = PLAIN, *, flushed: bool = True, processors: int = 0) -> Machine:
        """Return a new machine with fresh disks, not yet booted; for one boot only if they are not ``flushed``.

        It has so many ``processors``, or if none are asked for as many as are best for the tests. Several threads
        may ask.
        """
        with self._making:
            if self._closed:
                raise LabError("The lab is closed.")
            disk, shares = image(kind, self._tell), self.shares
            folder = Path(tempfile.mkdtemp(dir=self.folder, prefix="machine-"))
            self._machines.append(Machine(disk, shares, folder, flushed=flushed, processors=processors))
            return self._machines[-1]

    def close(self) -> None:
        """End what still runs and remove the session's files."""
        with self._making:
            self._closed = True
        for machine in self._machines:
            machine.cut_power()
        self._temporary.cleanup()

    @cached_property
    def shares(self) -> Shares:
        """The checkout, and the same installed."""
        self._tell("installing the checkout for the machine")
        checkout = CHECKOUT if self._live else self._copy()
        return Shares(checkout, python_tree(checkout, self.folder / "python"))

    def _copy(self) -> Path:
        """Copy the checkout: somebody may go on writing while the tests run."""
        copy = self.folder / "checkout"
        shutil.copytree(CHECKOUT, copy, symlinks=True, ignore=shutil.ignore_patterns(*NOT_COPIED))
        return copy
