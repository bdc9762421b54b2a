"""Commands inside the machine, and the way back to an empty disk."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path


def run(*argv: str | Path, text: str | None = None) -> str:
    """Run a command and return its output; fail the test with all it said if it fails."""
    done = attempt(*argv, text=text)
    if done.returncode:
        words = " ".join(str(word) for word in argv)
        raise AssertionError(f"'{words}' exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def attempt(*argv: str | Path, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command that may fail."""
    return subprocess.run(list(argv), input=text or "", capture_output=True, text=True, check=False)


def wait_until(true: Callable[[], bool], what: str, limit: float = 600) -> None:
    """Look again and again until ``true``; when it is not in time, fail the test and show the devices."""
    until = time.monotonic() + limit
    while not true():
        if time.monotonic() > until:
            devices = run("lsblk") + run("dmsetup", "info", "-c")
            raise AssertionError(f"{what}: not within {limit:.0f} s.\n{devices}")
        time.sleep(0.1)


def mappings() -> dict[str, int]:
    """Return all device-mapper devices by name, each with how many have it open."""
    listed = run("dmsetup", "info", "-c", "--noheadings", "-o", "name,open", "--separator", " ").splitlines()
    rows = [line.split() for line in listed if line != "No devices found"]
    return {name: int(count) for name, count in rows}


def suspended() -> list[str]:
    """The maps that are suspended now."""
    fields = ("--noheadings", "--separator", " ", "-o", "name,suspended")
    rows = [line.split() for line in run("dmsetup", "info", "-c", *fields).splitlines()]
    return [name for name, state in rows if state == "Suspended"]


def clear(disk: Path, vg: str) -> None:
    """Take down everything that stands on ``disk``, whatever a test left behind, and empty it."""
    for name in mappings():
        attempt("dmsetup", "resume", name)
    _unmount_all()
    run("losetup", "--detach-all")
    run("udevadm", "settle")
    wait_until(_all_mappings_removed, "All device-mapper devices are removed")
    attempt("vgremove", "--force", "--force", "--yes", vg)
    # A failed unit keeps its name, and udev then activates no volume group of that name any more.
    run("systemctl", "reset-failed")
    run("wipefs", "--all", "--quiet", disk)
    run("blkdiscard", disk)


def _unmount_all() -> None:
    """Unmount what is mounted from device-mapper or loop devices, the deepest first."""
    mounts = [line.split()[:2] for line in Path("/proc/mounts").read_text().splitlines()]
    for source, target in reversed(mounts):
        if source.startswith(("/dev/mapper/", "/dev/dm-", "/dev/loop")):
            run("umount", target)


def _all_mappings_removed() -> bool:
    """Remove the device-mapper devices on which nothing stands, and tell whether these were the last."""
    for name, count in mappings().items():
        if count == 0:
            attempt("dmsetup", "remove", "--retry", name)
    return not mappings()
