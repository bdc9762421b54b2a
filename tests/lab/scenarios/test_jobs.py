"""Whole jobs on real LVM: each way of opening a guest's disk, archived, verified, and nothing left behind."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdstill_plugins.udev_rule import RULE

from .guest_disk import GuestDisk
from .system import attempt, mappings, run, wait_until

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
WAYS = [
    "partitions, guest-lv, mount",
    "kpartx, guest-lv, mount",
    "partitions, guest-vg, mount",
    "kpartx, guest-vg, mount",
]


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

    def configure(self, disk: Path, steps: str = WAYS[0]) -> None:
        """Write the configuration."""
        self.config.write_text(CONFIGURATION.format(disk=disk, steps=steps, archives=self.archives))
        self.config.chmod(0o600)

    def argv(self, *arguments: str) -> list[str]:
        """The words of a holdstill command."""
        return ["holdstill", *self.options, *arguments]

    def call(self, *arguments: str) -> str:
        """Run holdstill, and return what it prints; fail the test if it fails."""
        return run(*self.argv(*arguments))


@pytest.fixture(scope="module", autouse=True)
def udev_rule() -> Iterator[None]:
    """Install the udev rule that comes with holdstill, as «holdstill check» asks for."""
    rule = Path("/run/udev/rules.d/12-holdstill.rules")
    rule.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(RULE, rule)
    run("udevadm", "control", "--reload")
    yield
    rule.unlink()
    run("udevadm", "control", "--reload")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A holdstill with nothing configured, on a host that has not seen the guest's volume group since it booted."""
    for folder in ("pvs_online", "vgs_online"):  # udev activates a group once, and remembers it here
        shutil.rmtree(Path("/run/lvm") / folder, ignore_errors=True)
    return Site(tmp_path)


def guest_groups() -> list[str]:
    """Maps of a guest's volume group under its own name: the host activated what is not its own."""
    run("udevadm", "settle")
    return [name for name in mappings() if name.startswith("vg_guest1")]


def host_state() -> dict[str, object]:
    """Everything on the host that a run could leave something of."""
    run("udevadm", "settle")
    return {
        "volumes": run("lvs", "--noheadings", "--options", "vg_name,lv_name,lv_attr,lv_tags").split("\n"),
        "maps": mappings(),
        "loops": run("losetup", "--noheadings", "--list", "--output", "BACK-FILE").split(),
        "mounts": [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()],
    }


@pytest.mark.parametrize("steps", WAYS)
def test_the_archive_has_what_is_on_the_guests_disk(site: Site, guest_disk: GuestDisk, steps: str) -> None:
    site.configure(guest_disk.path, steps)
    before = host_state()
    site.call("check")
    site.call("run", "nightly")
    assert host_state() == before
    [archive] = site.archives.rglob("*.tar.gz")
    with tarfile.open(archive) as tar:
        for files, folder in ((guest_disk.root_files, "./"), (guest_disk.boot_files, "./boot/")):
            for name, content in files.items():
                if name != "boot/.keep":
                    file = tar.extractfile(folder + name)
                    assert file
                    assert file.read() == content, name


@pytest.mark.parametrize("steps", WAYS)
def test_a_killed_run_is_recovered(site: Site, guest_disk: GuestDisk, steps: str) -> None:
    site.configure(guest_disk.path, steps)
    before = host_state()
    with subprocess.Popen(site.argv("run", "nightly"), stderr=subprocess.DEVNULL) as process:
        wait_until((site.tree / "etc/hostname").exists, "the guest's tree is there")
        process.send_signal(signal.SIGKILL)
    assert not guest_groups()
    held = json.loads(attempt(*site.argv("held", "--json")).stdout)
    assert [hold["state"] for hold in held] == ["abandoned"]
    site.call("recover")
    assert host_state() == before


def test_a_hold_is_let_go_of_by_hand(site: Site, guest_disk: GuestDisk) -> None:
    site.configure(guest_disk.path, "kpartx, guest-vg, mount")
    before = host_state()
    site.call("pre", "nightly")
    [hold] = json.loads(site.call("held", "--json"))
    for step in hold["holds"]:
        run("sh", "-c", step["by_hand"])
    assert host_state() == before
    done = attempt(*site.argv("post", "nightly"))
    assert done.returncode == 79, "what was let go of by hand did not hold to the end"
    assert json.loads(site.call("held", "--json")) == []


def test_an_overflowed_snapshot_fails_the_job(site: Site, guest_disk: GuestDisk) -> None:
    site.configure(guest_disk.path)
    text = site.config.read_text().replace("    open:", "    snapshot: {lvm: {size: 4M}}\n    open:")
    site.config.write_text(text)
    before = host_state()
    site.call("pre", "nightly")
    run(
        "dd",
        "if=/dev/zero",
        f"of={guest_disk.path}",
        "bs=1M",
        "count=16",
        "seek=100",
        "oflag=direct",
        "conv=notrunc",
    )
    done = attempt(*site.argv("post", "nightly"))
    assert done.returncode == 79, done.stderr
    assert "overflowed" in done.stderr
    assert host_state() == before


def test_a_thin_volume_is_held_without_room_of_its_own(
    site: Site, hostvg: str, new_guest_disk: Callable[..., GuestDisk]
) -> None:
    thick = new_guest_disk("thick")
    run("lvcreate", "--yes", "--type", "thin-pool", "--name", "pool", "--size", "512M", hostvg)
    run("lvcreate", "--yes", "--thin", "--virtualsize", "256M", "--name", "thin", f"{hostvg}/pool")
    run("dd", f"if={thick.path}", f"of=/dev/{hostvg}/thin", "bs=1M", "conv=fsync")
    site.configure(Path(f"/dev/{hostvg}/thin"))
    before = host_state()
    site.call("run", "nightly")
    assert host_state() == before


def test_a_plan_changes_nothing(site: Site, guest_disk: GuestDisk) -> None:
    site.configure(guest_disk.path)
    before = host_state()
    assert "lvcreate" in site.call("plan", "nightly")
    assert host_state() == before
