"""Whole jobs on real disks: what is archived is what was on the guest's disk, and nothing is left."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdstill.testing.guest import BusyGuest, counters_in

from .compared import listing, without_boot

MIB = 1 << 20
SHAPES = [
    ("mbr63", True),
    ("mbr63", False),
    ("mbr2048", True),
    ("mbr2048", False),
    ("gpt", True),
    ("gpt", False),
    ("bare", True),
    ("bare", False),
]


@contextmanager
def written_all_the_time(disk: Path) -> Iterator[None]:
    """Write to what no file system uses, far more often than a copy takes: without a wait for the disk below."""
    over = threading.Event()

    def write() -> None:
        with disk.open("r+b", buffering=0) as file:
            while not over.wait(0.001):
                os.pwrite(file.fileno(), os.urandom(1), MIB // 2)

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        try:
            yield
        finally:
            over.set()
        writing.result()


@pytest.mark.parametrize(("layout", "lvm"), SHAPES)
def test_the_archive_has_what_was_on_the_disk(site, new_disk, host_state, trees, layout, lvm):
    disk = new_disk(layout=layout, lvm=lvm)
    with_boot = (layout, lvm) != ("bare", False)
    site.back_up(
        disk.path, open=f"[partitions, guest-lv, mount: {{leave-out: {[] if with_boot else ['/boot']}}}]"
    )
    before = host_state()
    done = site.call("run", "nightly", "--json")
    assert done.returncode == 0, done.stderr
    restored = restore(site)
    assert listing(restored, "boot") == (listing(trees / "boot") if with_boot else [])
    assert without_boot(listing(restored)) == without_boot(listing(trees / "root"))
    assert host_state() == before
    assert site.held() == []


def test_what_would_be_left_out_of_the_backup_is_refused(site, new_disk, host_state):
    disk = new_disk(layout="mbr2048", lvm=False)
    site.back_up(disk.path, open="[partitions, mount: {leave-out: [/boot]}]")
    before = host_state()
    done = site.call("run", "nightly")
    assert done.returncode == 65
    assert "would not be backed up: disk1p1 (ext3)" in done.stderr
    assert host_state() == before
    site.back_up(disk.path, open="[partitions, mount: {leave-out: [/boot, disk1p1]}]")
    assert site.call("run", "nightly").returncode == 0


def test_a_fault_that_a_guest_says_should_panic_the_machine_only_makes_it_read_only(site, new_disk):
    disk = new_disk(layout="bare", lvm=False)
    subprocess.run(["tune2fs", "-e", "panic", disk.path], check=True, capture_output=True)
    site.back_up(disk.path, open="[partitions, mount: {beneath: {}}]")
    assert site.call("pre", "nightly").returncode == 0
    tree = str(site.trees / "nightly" / "web")
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    [line] = [line for line in lines if line.split(" ")[4] == tree]
    assert site.call("post", "nightly").returncode == 0
    assert "errors=remount-ro" in line


def test_a_busy_guest_on_a_file_system_that_clones_is_held_at_one_moment(
    site, new_disk, cloning_folder, host_state
):
    disk = new_disk(cloning_folder)
    site.back_up(disk.path)
    with BusyGuest(disk) as guest:
        guest.wait_for(20)
        before, written = host_state(), guest.written
        done = site.call("run", "nightly")
        assert done.returncode == 0, done.stderr
        assert host_state() == before
        guest.wait_for(5)
    found = counters_in(restore(site))
    assert found.of_one_moment
    assert found >= written


def test_a_busy_guest_that_would_be_copied_torn_is_refused(site, new_disk, host_state):
    disk = new_disk()
    site.back_up(disk.path)
    before = host_state()
    with written_all_the_time(disk.path):
        done = site.call("run", "nightly")
    assert host_state() == before
    assert done.returncode == 73
    assert "is not of one moment" in done.stderr
    assert not list(site.archives.rglob("*.tar*"))


def test_the_size_of_the_archives_is_told(site, new_disk):
    site.back_up(new_disk().path)
    told = json.loads(site.call("run", "nightly", "--json").stdout)["backup"]
    assert told["bytes"] == sum(Path(archive).stat().st_size for archive in told["archives"]) > 0


def test_pre_shows_the_tree_read_only_and_post_takes_it_away(site, new_disk, host_state):
    site.back_up(new_disk().path)
    before = host_state()
    assert_silent(site.call("pre", "nightly"))
    tree = site.trees / "nightly" / "web"
    assert (tree / "boot" / "vmlinuz").is_file()
    assert (tree / "etc" / "hostname").read_text() == "web\n"
    options = mount_options(tree)
    assert {"ro", "nosuid", "nodev", "noexec", "nosymfollow"} <= options
    with pytest.raises(OSError, match="Read-only"):
        (tree / "new").touch()
    assert_silent(site.call("post", "nightly"))
    assert host_state() == before
    assert not tree.parent.exists()
    assert_silent(site.call("post", "nightly"))


def test_what_somebody_keeps_open_is_still_held_and_let_go_of_later(site, new_disk, host_state):
    site.back_up(new_disk().path)
    site.config.write_text(site.config.read_text() + "    release-within: 0.2\n")
    before = host_state()
    assert site.call("pre", "nightly").returncode == 0
    with (site.trees / "nightly" / "web" / "etc" / "hostname").open():
        done = site.call("post", "nightly", "--strict")
        assert done.returncode == 81, done.stderr
        assert "mount at" in done.stderr
        assert site.call("held").returncode == 81
    assert site.call("recover").returncode == 0
    assert host_state() == before


def test_the_journal_of_the_file_system_is_replayed_into_the_copy_and_never_into_the_origin(
    site, new_disk, cloning_folder
):
    disk = new_disk(cloning_folder)
    site.back_up(disk.path)
    with BusyGuest(disk) as guest:
        guest.wait_for(50)
        subprocess.run(["cp", "--reflink=always", disk.path, cloning_folder / "crashed.img"], check=True)
    crashed = cloning_folder / "crashed.img"
    before = digest(crashed)
    site.back_up(crashed)
    assert site.call("run", "nightly").returncode == 0
    assert digest(crashed) == before
    assert counters_in(restore(site)).second >= 50


def restore(site) -> Path:
    """Restore the job's archive, as GNU tar does by default."""
    [archive] = site.archives.rglob("*.tar.zst")
    folder = site.folder / "restored"
    folder.mkdir()
    options = [
        "--acls",
        "--xattrs",
        "--xattrs-include=*",
        "--numeric-owner",
        "--same-owner",
        "--preserve-permissions",
    ]
    subprocess.run(["tar", "--extract", "--file", archive, "--directory", folder, *options], check=True)
    return folder


def mount_options(point: Path) -> set[str]:
    lines = (line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return next(set(fields[5].split(",")) for fields in lines if fields[4] == str(point))


def digest(path: Path) -> str:
    return subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.split()[0]


def assert_silent(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_an_archive_that_does_not_stand_its_verification_loses_its_good_name(site, new_disk):
    site.back_up(new_disk().path)
    site.config.write_text(site.config.read_text() + "    verify: [tar, command: {run: 'false'}]\n")
    assert site.call("run", "nightly").returncode == 80
    assert [path.name[-15:] for path in site.archives.rglob("*.tar*")] == [".tar.zst.failed"]
