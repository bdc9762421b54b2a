"""Holdstill as an administrator has it on this machine: configured, called, and looked after."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from .system import attempt, mappings, run


class Site:
    """Holdstill with a configuration, and folders of its own."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "holdstill.yaml"
        self.archives = folder / "archives"
        self.archives.mkdir()
        self.trees = folder / "trees"
        self.options = [f"--config={self.config}", f"--state={folder / 'state'}", f"--trees={self.trees}"]

    def write(self, configuration: str) -> None:
        """Write the configuration; ``{archives}`` stands for a folder."""
        self.config.write_text(configuration.replace("{archives}", str(self.archives)))
        self.config.chmod(0o600)

    def argv(self, *arguments: str) -> list[str]:
        """The words of a holdstill command."""
        return ["holdstill", *self.options, *arguments]

    def call(self, *arguments: str) -> str:
        """Run holdstill, and return what it prints; fail the test if it fails."""
        return run(*self.argv(*arguments))

    def refused(self, *arguments: str) -> str:
        """Run holdstill, which is to fail; return what it complains of."""
        done = attempt(*self.argv(*arguments))
        assert done.returncode, done.stdout
        return done.stderr

    def outcome(self, job: str) -> dict[str, Any]:
        """Run a job, and return how it ended."""
        told: dict[str, Any] = json.loads(attempt(*self.argv("run", job, "--json")).stdout)
        return told


def forget_groups() -> None:
    """Have udev take a volume group for new: it activates one of a name once, and remembers it here."""
    for folder in ("pvs_online", "vgs_online"):
        shutil.rmtree(Path("/run/lvm") / folder, ignore_errors=True)


def host_state() -> dict[str, object]:
    """Everything on the host that a run could leave something of."""
    run("udevadm", "settle")
    return {
        "volumes": run("lvs", "--noheadings", "--options", "vg_name,lv_name,lv_attr,lv_tags").split("\n"),
        "maps": mappings(),
        "loops": run("losetup", "--noheadings", "--list", "--output", "BACK-FILE").split(),
        "mounts": [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()],
    }
