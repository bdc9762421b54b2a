"""Guests' disks in qcow2 files, on a file system that can clone them, through the kernel's NBD devices."""

from __future__ import annotations

import json
import signal
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdstill.testing.disks import make_guest_disk

from . import installed
from .conftest import DATA_DISK
from .installed import STEPS, Site
from .system import attempt, run, wait_until
from .test_jobs import WAYS, guest_groups

pytestmark = pytest.mark.usefixtures("udev_rule")

FSTAB = "/dev/vg_guest1/root / ext4 defaults 0 1\n/dev/xvda1 /boot ext3 defaults 0 2\n"
ROOT_FILES = {"etc/fstab": FSTAB, "etc/hostname": "guest1\n", "srv/data": "1\n" * 300_000}
BOOT_FILES = {"vmlinuz": "a kernel\n" * 10_000}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system that can clone files, where the guests' images lie; and the kernel's NBD devices."""
    folder = tmp_path_factory.mktemp("store")
    run("modprobe", "nbd")
    run("mkfs.btrfs", "--quiet", "--force", DATA_DISK)
    run("mount", DATA_DISK, folder)
    yield folder
    run("umount", folder)
    run("wipefs", "--all", "--quiet", DATA_DISK)


@pytest.fixture(scope="module")
def raw_disk(store: Path) -> Path:
    """A guest's disk as it would be raw: /boot at sector 63, and a volume group with its root."""
    for folder, files in (("tree", {**ROOT_FILES, "boot/.keep": ""}), ("boot", BOOT_FILES)):
        for name, text in files.items():
            (store / folder / name).parent.mkdir(parents=True, exist_ok=True)
            (store / folder / name).write_text(text)
    make_guest_disk(store / "disk.raw", tree=store / "tree", boot=store / "boot")
    return store / "disk.raw"


@pytest.fixture(scope="module")
def image(raw_disk: Path) -> Path:
    """The guest's disk as a qcow2 file."""
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw_disk, raw_disk.with_name("web.qcow2"))
    return raw_disk.with_name("web.qcow2")


@pytest.fixture(scope="module")
def overlay(raw_disk: Path) -> Path:
    """The same upon a backing file, whose path is relative to the folder that both lie in."""
    path = raw_disk.with_name("over.qcow2")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", raw_disk.name, "-F", "raw", path)
    return path


@pytest.fixture
def configure(site: Site) -> Callable[..., Site]:
    """Configure holdstill for a qcow2 file."""

    def written(disk: Path, steps: str = STEPS) -> Site:
        site.configure(disk, steps)
        text = site.config.read_text()
        site.write(text.replace("    open:", "    snapshot: {qcow2: {clone: true}}\n    open:"))
        return site

    return written


def servers() -> list[str]:
    """Command lines of all processes that serve NBD devices."""
    return run("sh", "-c", "ps -C qemu-nbd -o args= || true").splitlines()


def host_state(store: Path) -> dict[str, object]:
    """Everything on the host that a run could leave something of."""
    shown = sorted(str(path) for path in Path("/sys/block").glob("nbd*/pid"))
    return {**installed.host_state(), "served": shown, "servers": servers(), "files": sorted(store.iterdir())}


@pytest.mark.usefixtures("lvm_filter")
@pytest.mark.parametrize("steps", [WAYS[0], WAYS[3]])
def test_the_archive_has_what_is_on_the_guests_disk(
    configure: Callable[..., Site], image: Path, steps: str
) -> None:
    assert_archived(configure(image, steps), image)


def test_what_is_in_a_backing_file_is_archived_too(configure: Callable[..., Site], overlay: Path) -> None:
    assert_archived(configure(overlay), overlay)


def assert_archived(site: Site, disk: Path) -> None:
    before, content = host_state(disk.parent), disk.read_bytes()
    site.call("check")
    site.call("run", "nightly")
    assert host_state(disk.parent) == before
    assert disk.read_bytes() == content
    [archive] = site.archives.rglob("*.tar.gz")
    with tarfile.open(archive) as tar:
        for files, folder in ((ROOT_FILES, "./"), (BOOT_FILES, "./boot/")):
            for name, text in files.items():
                file = tar.extractfile(folder + name)
                assert file
                assert file.read() == text.encode(), name


def test_a_killed_run_is_recovered(configure: Callable[..., Site], image: Path) -> None:
    site = configure(image)
    before = host_state(image.parent)
    with subprocess.Popen(site.argv("run", "nightly"), stderr=subprocess.DEVNULL) as process:
        wait_until((site.tree / "etc/hostname").exists, "the guest's tree is there")
        process.send_signal(signal.SIGKILL)
    assert len(servers()) == 1
    assert not guest_groups()
    held = json.loads(attempt(*site.argv("held", "--json")).stdout)
    assert [hold["state"] for hold in held] == ["abandoned"]
    site.call("recover")
    assert host_state(image.parent) == before


def test_a_run_killed_while_it_attaches_is_recovered(configure: Callable[..., Site], image: Path) -> None:
    site = configure(image)
    before = host_state(image.parent)
    with subprocess.Popen(site.argv("run", "nightly"), stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: bool(servers()), "qemu-nbd has begun")
        process.send_signal(signal.SIGKILL)
    site.call("recover")
    assert host_state(image.parent) == before


def test_the_hosts_lvm_sees_nothing_of_the_guest(configure: Callable[..., Site], image: Path) -> None:
    site = configure(image)
    site.call("pre", "nightly")
    assert "nbd" not in run("pvs", "--noheadings", "--options", "pv_name")
    assert not guest_groups()
    site.call("post", "nightly")


def test_a_hold_is_let_go_of_by_hand(configure: Callable[..., Site], image: Path) -> None:
    site = configure(image)
    before = host_state(image.parent)
    site.call("pre", "nightly")
    [hold] = json.loads(site.call("held", "--json"))
    for step in hold["holds"]:
        run("sh", "-c", step["by_hand"])
    wait_until(lambda: not servers(), "qemu-nbd has ended")
    assert host_state(image.parent) == before
    attempt(*site.argv("post", "nightly"))
    assert json.loads(site.call("held", "--json")) == []


def test_a_disk_that_is_still_in_use_is_not_taken_away(configure: Callable[..., Site], image: Path) -> None:
    site = configure(image)
    before = host_state(image.parent)
    site.write(site.config.read_text() + "    release-within: 1s\n")
    site.call("pre", "nightly")
    with (site.tree / "srv/data").open() as busy:
        site.call("post", "nightly")
        [hold] = json.loads(attempt(*site.argv("held", "--json")).stdout)
        assert hold["state"] == "abandoned"
        assert busy.read() == ROOT_FILES["srv/data"]
    site.call("recover")
    assert host_state(image.parent) == before


def test_a_backup_of_a_disk_whose_server_died_fails(configure: Callable[..., Site], image: Path) -> None:
    site = configure(image)
    before = host_state(image.parent)
    site.call("pre", "nightly")
    run("pkill", "-KILL", "-x", "qemu-nbd")
    wait_until(lambda: not servers(), "qemu-nbd has ended")
    done = attempt(*site.argv("post", "nightly"))
    assert done.returncode == 79, done.stderr
    assert "serves" in done.stderr
    assert host_state(image.parent) == before


def test_two_runs_at_once_take_a_device_each(
    configure: Callable[..., Site], image: Path, overlay: Path
) -> None:
    site = configure(image)
    text = site.config.read_text()
    two = text.replace("jobs:", text.partition("jobs:")[0].replace("guests:\n  web:", "  db:") + "jobs:")
    jobs = two.partition("jobs:\n")[2]
    other = jobs.replace("nightly:", "other:").replace("[web]", "[db]")
    site.write(two.replace(f"    disks: [{image}]", f"    disks: [{overlay}]", 1) + other)
    before = host_state(image.parent)
    begun = [subprocess.Popen(site.argv("pre", job)) for job in ("nightly", "other")]
    assert [process.wait() for process in begun] == [0, 0]
    assert len(servers()) == len(list(Path("/sys/block").glob("nbd*/pid"))) == 2
    for job in ("nightly", "other"):
        site.call("post", job)
    assert host_state(image.parent) == before


def test_devices_that_are_not_there_are_asked_for(configure: Callable[..., Site], image: Path) -> None:
    # udev may be looking at the one that was let go of last
    wait_until(lambda: attempt("modprobe", "--remove", "nbd").returncode == 0, "nobody has any of them open")
    done = attempt(*configure(image).argv("check"))
    run("modprobe", "nbd")
    assert done.returncode == 69, done.stderr
    assert "modprobe nbd" in done.stderr + done.stdout
