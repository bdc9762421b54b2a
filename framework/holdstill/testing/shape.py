"""Shapes of jobs: a machine with its guests, and a job on them, made anew for each trial."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint
from pathlib import Path

from holdstill.plugins.load import GROUP, Found, dropped_in, loaded
from holdstill.testing.machine import Machine
from holdstill.testing.trial import Trial

BACKUP = "backup-program"
"A program that every machine has: ``backup: {command: {run: backup-program}}``."


@dataclass(frozen=True)
class Shape:
    """A machine with its guests, and the job ``nightly`` on them."""

    configuration: str
    "``{root}`` in it stands for the machine's folder."
    prepare: Callable[[Machine], None]
    "Gives the machine its disks, and the commands of the site's own."
    device_mapper: bool = True
    can_clone: bool = True
    backup: Callable[[Machine], None] = lambda _machine: None
    "What the backup does to the machine."

    def trial(self, folder: Path, plugins: tuple[Found, ...] = ()) -> Trial:
        """Make a new machine with this shape in a new folder. ``plugins`` are there besides the installed ones."""
        folder.mkdir(parents=True)
        machine = Machine(folder, device_mapper=self.device_mapper, can_clone=self.can_clone)
        machine.programs[BACKUP] = lambda _trees: self._back_up(machine)
        self.prepare(machine)
        return Trial(machine, self.configuration.replace("{root}", str(folder)), plugins)

    def _back_up(self, machine: Machine) -> int:
        machine.frozen_while_read |= machine.kernel.frozen
        self.backup(machine)
        return 0


@cache
def plugins_in(folder: Path) -> tuple[Found, ...]:
    """Load the plugins that a folder has: those that its pyproject.toml names, or single files.

    The modules of a distribution must be where Python finds them: it is installed, or pytest's ``pythonpath`` says it.

    Raises ValueError for a pyproject.toml that names none.
    """
    project = folder / "pyproject.toml"
    if not project.exists():
        return tuple(dropped_in(folder))
    declared = tomllib.loads(project.read_text()).get("project", {}).get("entry-points", {}).get(GROUP)
    if not declared:
        raise ValueError(
            f"{project} names no plugins: «[project.entry-points.{GROUP}]» is where they are named."
        )
    return tuple(loaded(EntryPoint(name, module, GROUP), str(project)) for name, module in declared.items())
