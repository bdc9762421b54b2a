"""Holdstill as it is installed on a host and configured for one guest, and all that it could leave there."""

from __future__ import annotations

from pathlib import Path

from .system import mappings, run

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


class Site:
    """Holdstill, configured for one guest."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "holdstill.yaml"
        self.archives = folder / "archives"
        self.archives.mkdir()
        self.options = [
            f"--config={self.config}",
            f"--state={folder / 'state'}",
            f"--trees={folder / 'trees'}",
        ]
        self.tree = folder / "trees" / "nightly" / "web"

    def configure(self, disk: Path, steps: str = STEPS) -> None:
        """Write the configuration."""
        self.config.write_text(CONFIGURATION.format(disk=disk, steps=steps, archives=self.archives))
        self.config.chmod(0o600)

    def argv(self, *arguments: str) -> list[str]:
        """The words of a holdstill command."""
        return ["holdstill", *self.options, *arguments]

    def call(self, *arguments: str) -> str:
        """Run holdstill, and return what it prints; fail the test if it fails."""
        return run(*self.argv(*arguments))


def host_state() -> dict[str, object]:
    """Everything on the host that a run could leave something of."""
    run("udevadm", "settle")
    return {
        "volumes": run("lvs", "--noheadings", "--options", "vg_name,lv_name,lv_attr,lv_tags").split("\n"),
        "maps": mappings(),
        "loops": run("losetup", "--noheadings", "--list", "--output", "BACK-FILE").split(),
        "mounts": [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()],
    }
