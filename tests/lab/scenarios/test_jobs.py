"""Whole jobs on real LVM: each way of opening a guest's disk, archived, verified, and nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from .guest_disk import GuestDisk
from .installed import STEPS, Site, host_state
from .system import attempt, mappings, run, wait_until

pytestmark = pytest.mark.usefixtures("udev_rule")

DEMO = Path(__file__).parents[3] / "contrib" / "demo" / "demo.py"
WAYS = [
    STEPS,
    "kpartx, guest-lv, mount",
    "partitions, guest-vg, mount",
    "kpartx, guest-vg, mount",
]


def guest_groups() -> list[str]:
    """Maps of a guest's volume group under its own name: the host activated what is not its own."""
    run("udevadm", "settle")
    return [name for name in mappings() if name.startswith("vg_guest1")]


@pytest.mark.usefixtures("lvm_filter")
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
                file = tar.extractfile(folder + name)
                assert file
                assert file.read() == content, name


@pytest.mark.usefixtures("lvm_filter")
@pytest.mark.parametrize("steps", [WAYS[0], WAYS[3]])
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


@pytest.mark.usefixtures("lvm_filter")
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


def test_the_demo_makes_its_guest_on_a_host_that_has_lvm() -> None:
    before = host_state()
    said = run(sys.executable, DEMO)
    assert "the disk is a logical volume of this host" in said
    assert "All is well." in said
    assert host_state() == before
