"""Three hosts that the tests here share, with holdstill as docs/how-to/fleet.md has it installed."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdstill.testing.disks import make_guest_disk

from ..conftest import MIB
from .hosts import Fleet, run
from .owner import Owner, write_program


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fleet")


@pytest.fixture(scope="package")
def fleet(folder: Path, trees: Path) -> Iterator[Fleet]:
    """Three hosts, each with a guest's disk."""
    disk = folder / "web.img"
    make_guest_disk(disk, tree=trees / "root", boot=trees / "boot", size=64 * MIB, name="web")
    made = Fleet(folder)
    try:
        for name in ("xen1", "xen2", "xen3"):
            box = made.boot(name)
            (box.root / "srv/backup").mkdir()
            (box.root / "srv/images").mkdir()
            run("cp", "--sparse=always", disk, box.root / "srv/images")
            write_program(box)
        by_hand = made.boxes["xen1"].root / "usr/local/sbin/holdstill"
        by_hand.unlink(missing_ok=True)
        by_hand.symlink_to("/opt/holdstill/bin/holdstill")
        yield made
    finally:
        made.end()


@pytest.fixture(scope="package")
def owner(folder: Path, fleet: Fleet) -> Owner:
    """Somebody with the wheels, the inventory and the variables that the page tells to have."""
    return Owner(folder, fleet)


@pytest.fixture(scope="package")
def installed(owner: Owner) -> subprocess.CompletedProcess[str]:
    """What the first run of install.yml printed, with what it changed."""
    return owner.types("ansible-playbook -i ~/fleet/hosts.ini install.yml", "--diff")
