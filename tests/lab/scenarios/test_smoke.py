"""The machine is what the other scenarios take it for."""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import pytest

from .guest_disk import GuestDisk
from .system import attempt, mappings, run, wait_until


def test_systemd_is_the_first_process() -> None:
    assert Path("/proc/1/comm").read_text() == "systemd\n"


def test_udev_is_running() -> None:
    assert run("systemctl", "is-active", "systemd-udevd") == "active\n"


def test_the_checkout_is_installed() -> None:
    assert version("holdstill")
    assert shutil.which("holdstill")


def test_a_snapshot_is_made_and_removed(hostvg: str) -> None:
    run("lvcreate", "--yes", "--name", "origin", "--size", "64M", hostvg)
    assert " linear " in run("dmsetup", "table", "hostvg-origin")
    run("lvcreate", "--snapshot", "--name", "snap", "--size", "16M", "hostvg/origin")
    assert " snapshot-origin " in run("dmsetup", "table", "hostvg-origin")
    assert " snapshot " in run("dmsetup", "table", "hostvg-snap")
    run("lvremove", "--yes", "hostvg/snap")
    assert list(mappings()) == ["hostvg-origin"]
    assert " linear " in run("dmsetup", "table", "hostvg-origin")


def test_a_guest_disk_is_partitioned_as_in_2009(guest_disk: GuestDisk) -> None:
    partitions = json.loads(run("sfdisk", "--json", guest_disk.path))["partitiontable"]["partitions"]
    assert [(part["start"], part["type"]) for part in partitions] == [(63, "83"), (98816, "8e")]


@pytest.mark.usefixtures("guest_disk")
def test_the_host_knows_nothing_of_the_guests_volume_group() -> None:
    assert run("vgs", "--noheadings", "-o", "vg_name").split() == ["hostvg"]
    assert not [name for name in mappings() if name.startswith("vg_guest1")]
    assert "loop" not in run("losetup", "--list")


def test_udev_activates_a_guests_volume_group_by_itself(guest_disk: GuestDisk) -> None:
    run("kpartx", "-a", guest_disk.path)
    wait_until(lambda: "vg_guest1-root" in mappings(), "udev activated vg_guest1")
    run("udevadm", "settle")
    run("vgchange", "--activate", "n", "vg_guest1")
    run("udevadm", "settle")
    run("kpartx", "-d", guest_disk.path)
    assert attempt("dmsetup", "info", "vg_guest1-root").returncode
