"""A journal on real LVM is overwritten: what its run holds is found by tag, and goes by the commands that are told."""

from __future__ import annotations

import json
import subprocess

import pytest

from .guest_disk import GuestDisk
from .installed import STEPS, Site, host_state
from .system import attempt, run

pytestmark = pytest.mark.usefixtures("udev_rule", "lvm_filter")

WAYS = [STEPS, "kpartx, guest-lv, mount", "kpartx, guest-vg, mount", "partitions, guest-vg, mount"]
STILL_HELD = 81


def overwrite_journals(site: Site) -> None:
    for journal in (site.config.parent / "state" / "journals").glob("*.jsonl"):
        journal.write_bytes(b"\xff" * journal.stat().st_size + b"\n")


def snapshots() -> list[str]:
    return run(
        "lvs", "--noheadings", "--options", "vg_name,lv_name", "--separator", "/", "@holdstill"
    ).split()


@pytest.mark.parametrize("steps", WAYS)
def test_a_lost_run_is_told_and_let_go_of_by_hand(site: Site, guest_disk: GuestDisk, steps: str) -> None:
    site.configure(guest_disk.path, steps)
    before = host_state()
    site.call("pre", "nightly")
    [snapshot] = snapshots()
    overwrite_journals(site)
    while_lost = host_state()
    done = attempt(*site.argv("recover", "--json"))
    assert done.returncode == STILL_HELD, done.stderr
    told = [
        (held["what"], held["by_hand"])
        for outcome in json.loads(done.stdout)
        for held in outcome["still_held"]
    ]
    assert (f"snapshot {snapshot}", f"lvremove --yes {snapshot}") in told
    assert host_state() == while_lost
    let_go_by_hand(site)
    assert host_state() == before
    assert not list((site.config.parent / "trees").iterdir())
    site.call("recover")


def let_go_by_hand(site: Site) -> None:
    """Type what «held --strays» lists, in that order; each command must do."""
    listed = json.loads(attempt(*site.argv("held", "--strays", "--json")).stdout)
    for hold in [hold for record in listed for hold in record["holds"]]:
        run("udevadm", "settle")
        subprocess.run(["sh", "-c", hold["by_hand"]], check=True)
