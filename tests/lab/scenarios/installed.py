"""Holdstill as it is installed on a host and configured, and all that it could leave there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .system import attempt, mappings, run

CONFIGURATION = """\
guests:
  web:
    disks: [{disk}]
    open: [{steps}]
jobs:
  nightly:
    guests: [web]
    backup: {{tar: {{to: {archives}, compress: gzip}}}}
"""
STEPS = "partitions, guest-lv, mount"
FILTER = (
    '"r|^/dev/mapper/holdstill-|", "r|^/dev/mapper/.*-hs_|", "r|^/dev/mapper/(loop|nbd)[0-9]|", '
    '"r|^/dev/(loop|nbd)[0-9]|"'
)


class Site:
    """Holdstill with a configuration, and folders of its own."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "holdstill.yaml"
        self.archives = folder / "archives"
        self.archives.mkdir()
        self.trees = folder / "trees"
        self.options = [f"--config={self.config}", f"--state={folder / 'state'}", f"--trees={self.trees}"]
        self.tree = self.trees / "nightly" / "web"

    def configure(self, disk: Path, steps: str = STEPS) -> None:
        """Write the configuration of one guest, whose files are archived."""
        self.write(CONFIGURATION.format(disk=disk, steps=steps, archives=self.archives))

    def write(self, configuration: str) -> None:
        """Write a whole configuration."""
        self.config.write_text(configuration)
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


@contextmanager
def looking_away() -> Iterator[None]:
    """Have the host's LVM filter what «holdstill check» asks for; new guest disks cannot be made meanwhile."""
    settings = Path("/etc/lvm/lvmlocal.conf")
    before = settings.read_text()
    settings.write_text(f"{before}\ndevices {{ global_filter = [ {FILTER} ] }}\n")
    try:
        yield
    finally:
        settings.write_text(before)


def host_state() -> dict[str, object]:
    """Everything on the host that a run could leave something of."""
    run("udevadm", "settle")
    return {
        "volumes": run("lvs", "--noheadings", "--options", "vg_name,lv_name,lv_attr,lv_tags").split("\n"),
        "maps": mappings(),
        "loops": run("losetup", "--noheadings", "--list", "--output", "BACK-FILE").split(),
        "mounts": [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()],
    }
