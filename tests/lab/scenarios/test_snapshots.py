"""The lvm plugin on real volumes: what it holds, what it refuses by name, and what becomes of a full snapshot."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import DATA_DISK, HOST_VG
from .installed import Site, host_state
from .system import attempt, clear, run, wait_until

MIB = 1 << 20
EXTENT = 4 * MIB
CONFIGURATION = """
guests:
  web: {{disks: [{disk}], snapshot: {{lvm: {options}}}, open: {open}}}
jobs:
  nightly: {{guests: [web], backup: {{command: {{run: {backup}}}}}}}
"""
LAYOUTS = {
    "linear": [],
    "striped": ["--type", "striped", "--stripes", "2"],
    "raid1": ["--type", "raid1", "--mirrors", "1"],
    "mirror": ["--type", "mirror", "--mirrors", "1", "--mirrorlog", "core"],
}
REFUSED = {"mirror": "is a mirror volume"}


@pytest.fixture(scope="module")
def group() -> Iterator[str]:
    """Make the host's volume group on two devices, as mirrors need them."""
    run("sfdisk", "--quiet", DATA_DISK, text="label: gpt\nsize=2G\nsize=+\n")
    run("udevadm", "settle")
    run("vgcreate", "--yes", HOST_VG, f"{DATA_DISK}1", f"{DATA_DISK}2")
    yield HOST_VG
    clear(DATA_DISK, HOST_VG)


@pytest.fixture
def volume(group: str) -> Iterator[str]:
    """One volume of 64 MiB."""
    run("lvcreate", "--yes", "--name", "web", "--size", "64M", group)
    yield f"/dev/{group}/web"
    run("lvremove", "--yes", f"{group}/web")


def configure(
    site: Site, disk: str, options: str = "{size: 8M}", backup: str = "'true'", opened: str = "[]"
) -> None:
    """Configure one guest with one disk."""
    site.write(CONFIGURATION.format(disk=disk, options=options, backup=backup, open=opened))


def free_in_group() -> int:
    """How many bytes the host's volume group has free."""
    return int(run("vgs", "--noheadings", "--units", "b", "--nosuffix", "-o", "vg_free", HOST_VG))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_origin_is_held_however_it_lies_on_its_devices_or_refused_by_name(
    site: Site, group: str, layout: str
) -> None:
    run("lvcreate", "--yes", "--name", "web", "--size", "32M", *LAYOUTS[layout], group)
    configure(site, f"/dev/{group}/web")
    before = host_state()
    if layout in REFUSED:
        assert f"/dev/{group}/web of guest web {REFUSED[layout]}" in site.refused("check")
        site.refused("run", "nightly")
    else:
        site.call("run", "nightly")
    assert host_state() == before
    run("lvremove", "--yes", f"{group}/web")


def test_disks_of_different_kinds_are_held_at_one_moment(site: Site, group: str) -> None:
    kinds = [kind for kind in LAYOUTS if kind not in REFUSED]
    for kind in kinds:
        run("lvcreate", "--yes", "--name", kind, "--size", "32M", *LAYOUTS[kind], group)
    disks = ", ".join(f"/dev/{group}/{kind}" for kind in kinds)
    configure(site, disks)
    before = host_state()
    outcome = site.outcome("nightly")
    assert outcome["ok"], outcome
    assert outcome["frozen_seconds"]
    assert host_state() == before
    run("lvremove", "--yes", *(f"{group}/{kind}" for kind in kinds))


@pytest.fixture
def leg(group: str, tmp_path: Path) -> Iterator[str]:
    """Give the host's volume group another device, on which nothing is yet: ``lose`` it."""
    image, leg = tmp_path / "leg", "/dev/mapper/lab-leg"
    run("truncate", "--size", "65M", image)
    loop = run("losetup", "--find", "--show", image).strip()
    # Not from its beginning: LVM would find the same label on both.
    run("dmsetup", "create", "lab-leg", "--table", f"0 {64 * MIB // 512} linear {loop} {MIB // 512}")
    run("vgextend", group, leg)
    yield leg
    run("vgreduce", "--removemissing", "--force", group)
    run("dmsetup", "remove", "--retry", "lab-leg")
    run("losetup", "--detach", loop)


def lose(leg: str) -> None:
    """From now on the device answers all that is read and written with an error, as a broken disk does."""
    run("dmsetup", "load", leg, "--table", f"0 {64 * MIB // 512} error")
    run("dmsetup", "suspend", "--noflush", leg)
    run("dmsetup", "resume", leg)


def test_an_origin_that_loses_a_leg_is_let_go_of_and_told_at_the_next_run(
    site: Site, group: str, leg: str
) -> None:
    one = f"{DATA_DISK}1"
    run("lvcreate", "--yes", "--name", "web", "--size", "32M", *LAYOUTS["raid1"], group, one, leg)
    configure(site, f"/dev/{group}/web")
    before = run("lvs", "--noheadings", "-o", "lv_name", group).split()
    site.call("pre", "nightly")
    lose(leg)
    run("dd", "if=/dev/urandom", f"of=/dev/{group}/web", "bs=1M", "count=1", "oflag=direct")
    site.call("post", "nightly")
    assert run("lvs", "--noheadings", "-o", "lv_name", group).split() == before
    assert "is in a volume group that lacks 1 of its devices" in site.refused("check")
    site.refused("run", "nightly")
    assert run("lvs", "--noheadings", "-o", "lv_name", group).split() == before
    run("lvremove", "--yes", f"{group}/web")


def test_a_cached_origin_is_held(site: Site, group: str, volume: str) -> None:
    run("lvcreate", "--yes", "--type", "cache-pool", "--name", "fast", "--size", "32M", group)
    run("lvconvert", "--yes", "--type", "cache", "--cachepool", f"{group}/fast", f"{group}/web")
    configure(site, volume)
    before = host_state()
    site.call("run", "nightly")
    assert host_state() == before


def test_a_thick_snapshot_is_refused_as_an_origin(site: Site, volume: str) -> None:
    run("lvcreate", "--yes", "--snapshot", "--name", "old", "--size", "8M", volume)
    configure(site, volume.replace("web", "old"))
    assert "is a snapshot itself" in site.refused("check")


def test_a_thin_snapshot_is_held_as_an_origin(site: Site, group: str) -> None:
    run("lvcreate", "--yes", "--type", "thin-pool", "--name", "pool", "--size", "64M", group)
    run("lvcreate", "--yes", "--thin", "--virtualsize", "32M", "--name", "thin", f"{group}/pool")
    run("lvcreate", "--yes", "--snapshot", "-kn", "--name", "thinner", f"{group}/thin")
    configure(site, f"/dev/{group}/thinner")
    before = host_state()
    site.call("run", "nightly")
    assert host_state() == before
    run("lvremove", "--yes", f"{group}/pool")


@pytest.mark.parametrize(
    ("size", "expected"),
    [("8388609", 12 * MIB), ("1%FREE", None), ("200%ORIGIN", None)],
)
def test_a_snapshot_has_the_size_that_was_asked_for_in_whole_extents(
    site: Site, volume: str, size: str, expected: int | None
) -> None:
    configure(site, volume, f"{{size: {size}}}")
    free = free_in_group()
    site.call("pre", "nightly")
    used = free - free_in_group()
    site.call("post", "nightly")
    assert used % EXTENT == 0
    if expected:
        assert used == expected
    elif size.endswith("FREE"):
        assert 0 <= used - free // 100 < EXTENT
    else:
        assert 64 * MIB < used <= 64 * MIB + 2 * EXTENT, "no larger than ever useful"


def test_the_room_for_the_whole_job_is_looked_at_before_the_first_snapshot(site: Site, group: str) -> None:
    for name in ("a", "b"):
        run("lvcreate", "--yes", "--name", name, "--size", "32M", group)
    site.write(f"""
guests:
  a: {{disks: [/dev/{group}/a], snapshot: {{lvm: {{size: 20M}}}}, open: []}}
  b: {{disks: [/dev/{group}/b], snapshot: {{lvm: {{size: 20M}}}}, open: []}}
jobs:
  one: {{guests: [a], backup: {{command: {{run: 'true'}}}}}}
  both: {{guests: [a, b], backup: {{command: {{run: 'true'}}}}}}
""")
    run("lvcreate", "--yes", "--name", "filler", "--extents", "100%FREE", group)
    run("lvreduce", "--yes", "--force", "--size", "-32M", f"{group}/filler")
    before = host_state()
    site.call("run", "one")
    complaint = site.refused("run", "both")
    assert (
        "has 32.0 MiB free; the snapshots of a (20.0 MiB), b (20.0 MiB) need 40.0 MiB together" in complaint
    )
    assert host_state() == before
    run("lvremove", "--yes", *(f"{group}/{name}" for name in ("a", "b", "filler")))


def test_a_thin_pool_that_is_nearly_full_is_refused(site: Site, group: str) -> None:
    run("lvcreate", "--yes", "--type", "thin-pool", "--name", "pool", "--size", "32M", group)
    run("lvcreate", "--yes", "--thin", "--virtualsize", "32M", "--name", "thin", f"{group}/pool")
    run("dd", "if=/dev/urandom", f"of=/dev/{group}/thin", "bs=1M", "count=28", "oflag=direct")
    configure(site, f"/dev/{group}/thin")
    assert "The thin pool hostvg/pool has 4.0 MiB free" in site.refused("check")
    run("lvremove", "--yes", f"{group}/pool")


@pytest.mark.parametrize("way", ["run", "pre and post"])
def test_a_snapshot_that_fills_up_is_extended_while_it_is_read(site: Site, volume: str, way: str) -> None:
    fill = [sys.executable, str(Path(__file__).with_name("fill.py")), volume, HOST_VG]
    configure(site, volume, "{size: 8M, cap: 32M}", backup=json.dumps(fill))
    before = host_state()
    if way == "run":
        site.call("run", "nightly")
    else:
        site.call("pre", "nightly")
        run(*fill)
        site.call("post", "nightly")
    assert host_state() == before
    wait_until(lambda: attempt("pgrep", "--full", "holdstill.* tend ").returncode == 1, "nobody tends it")


def test_a_snapshot_that_reaches_its_cap_overflows_and_fails_the_job(site: Site, volume: str) -> None:
    burst = f"dd if=/dev/urandom of={volume} bs=1M count=48 conv=notrunc,fsync"
    configure(site, volume, "{size: 8M, cap: 12M}", backup=json.dumps(["sh", "-c", burst]))
    before = host_state()
    outcome = site.outcome("nightly")
    assert outcome["code"] == 79
    assert "overflowed" in outcome["failures"][0]["sentence"]
    assert host_state() == before


@pytest.mark.usefixtures("udev_rule")
def test_an_overflow_beneath_a_mount_is_never_an_empty_backup(site: Site, volume: str) -> None:
    """LVM's daemon unmounts a snapshot that it watches when it overflows, and leaves an empty folder."""
    run("mkfs.ext4", "-q", volume)
    configure(site, volume, "{size: 4M, cap: 4M}", opened="[partitions, mount: {root: disk1}]")
    before = host_state()
    site.call("pre", "nightly")
    tree = site.tree
    assert (tree / "lost+found").exists()
    snapshot = run("findmnt", "--noheadings", "--output", "SOURCE", tree).strip()
    run("lvchange", "--monitor", "y", snapshot)  # as an administrator's own call may have it
    run("dd", "if=/dev/urandom", f"of={volume}", "bs=1M", "count=32", "seek=16", "conv=notrunc,fsync")
    wait_until(lambda: not tree.is_mount(), "LVM's daemon has unmounted it")
    assert tree.stat().st_mode & 0o777 == 0, "who is not root cannot even look into the empty folder"
    done = subprocess.run(site.argv("post", "nightly"), capture_output=True, text=True, check=False)
    assert done.returncode == 79, done.stderr
    assert host_state() == before
