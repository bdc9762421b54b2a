"""The folders of this host that holdstill uses."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Places(NamedTuple):
    """Where things are. Light to import: every command begins with it."""

    config: Path = Path("/etc/holdstill")
    "A YAML file, or a folder of them."
    state: Path = Path("/var/lib/holdstill")
    "Journals and locks. Must outlive a reboot."
    trees: Path = Path("/run/holdstill")
    "Where guests' files appear: ``JOB/GUEST``. Must not outlive a reboot."
    plugins: Path = Path("/etc/holdstill/plugins")
    "Single-file plugins of the site."

    @property
    def locks(self) -> Path:
        """Locks, of jobs and of guests' disks."""
        return self.state / "locks"


def folder_of(state: Path, plugin: str) -> Path:
    """Give where a plugin keeps its own, whether it is there yet or not."""
    return state / "plugins" / plugin
