"""What a scenario can ask for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdstill_plugins.udev_rule import RULE

from .guest_disk import GuestDisk, make_guest_disk
from .installed import Site, looking_away
from .system import clear, run

DATA_DISK = Path("/dev/vdb")
HOST_VG = "hostvg"


@pytest.fixture(scope="module")
def hostvg() -> Iterator[str]:
    """Make the host's volume group on the empty disk, and empty the disk again afterwards."""
    run("vgcreate", "--yes", HOST_VG, DATA_DISK)
    yield HOST_VG
    clear(DATA_DISK, HOST_VG)


@pytest.fixture(scope="module")
def new_guest_disk(hostvg: str) -> Callable[..., GuestDisk]:
    """Make guests' disks on the host's volume group: ``new_guest_disk("xen_guest1")``."""

    def make(name: str, guest_vg: str = "vg_guest1", size: str = "256M") -> GuestDisk:
        return make_guest_disk(hostvg, name, guest_vg, size)

    return make


@pytest.fixture(scope="module")
def guest_disk(new_guest_disk: Callable[..., GuestDisk]) -> GuestDisk:
    """Make one guest's disk, ``xen_guest1``, whose volume group is ``vg_guest1``."""
    return new_guest_disk("xen_guest1")


@pytest.fixture(scope="module")
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
def lvm_filter() -> Iterator[None]:
    """Have the host's LVM filter what «holdstill check» asks for; new guest disks cannot be made meanwhile."""
    with looking_away():
        yield


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A holdstill with nothing configured, on a host that has not seen the guest's volume group since it booted."""
    for folder in ("pvs_online", "vgs_online"):  # udev activates a group once, and remembers it here
        shutil.rmtree(Path("/run/lvm") / folder, ignore_errors=True)
    return Site(tmp_path)
