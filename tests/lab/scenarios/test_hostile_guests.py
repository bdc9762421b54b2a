"""Guests that would be the host's: what udev, md, LVM and the host's fstab make of their disks, namely nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .guest_disk import GuestDisk, new_volume
from .installed import Site, host_state
from .system import attempt, mappings, run

pytestmark = pytest.mark.usefixtures("udev_rule")

MIB = 1 << 20
ROOT, MEMBER, PHYSICAL = (1, 24), (25, 20), (45, 18)
"Where the partitions of a disk begin and how long they are, in MiB."
TABLE = "label: dos\n" + "".join(
    f"start={start * 2048}, size={size * 2048}, type={kind}\n"
    for (start, size), kind in ((ROOT, "83"), (MEMBER, "fd"), (PHYSICAL, "8e"))
)
HOST_LINE = "LABEL=hostdata /mnt/hostdata ext4 nofail 0 0\n"


@contextmanager
def loop(disk: Path, place: tuple[int, int]) -> Iterator[str]:
    """A part of a volume as a device, which the udev rule keeps udev off."""
    start, size = (str(number * MIB) for number in place)
    device = run("losetup", "--find", "--show", "--offset", start, "--sizelimit", size, disk).strip()
    try:
        yield device
    finally:
        run("losetup", "--detach", device)


@contextmanager
def mounted(device: str | Path, folder: Path) -> Iterator[Path]:
    """A file system at a new folder."""
    folder.mkdir(exist_ok=True)
    run("mount", device, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


@pytest.fixture(scope="module")
def tempting_disk(hostvg: str, udev_rule: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A guest's disk with all that a host likes to take for its own: a label of its fstab, an array, a group."""
    del udev_rule
    disk = new_volume(hostvg, "web-1.disk_2", "64M")
    run("sfdisk", "--quiet", disk, text=TABLE)
    with loop(disk, ROOT) as root:
        run("mkfs.ext4", "-q", "-L", "hostdata", root)
        with mounted(root, tmp_path_factory.mktemp("root") / "point") as tree:
            (tree / "etc").mkdir()
            (tree / "etc" / "fstab").write_text("LABEL=hostdata / ext4 defaults 0 1\n")
    with loop(disk, MEMBER) as member:
        create = ("--create", "/dev/md77", "--run", "--level=1", "--raid-devices=2", "--metadata=1.2")
        run("mdadm", *create, member, "missing")
        run("mdadm", "--stop", "/dev/md77")
    with loop(disk, PHYSICAL) as physical:
        run("vgcreate", "--yes", "--devices", physical, "vg_guest1", physical)
        run("lvcreate", "--yes", "--devices", physical, "--name", "root", "--extents", "2", "vg_guest1")
        run("vgchange", "--devices", physical, "--activate", "n", "vg_guest1")
    run("udevadm", "settle")
    return disk


@pytest.fixture
def host_wants_the_label() -> Iterator[None]:
    """A line of the host's fstab that any file system of that label would do for."""
    table = Path("/etc/fstab")
    before = table.read_text()
    table.write_text(f"{before}\n{HOST_LINE}")
    run("systemctl", "daemon-reload")
    yield
    table.write_text(before)
    run("systemctl", "daemon-reload")


def taken() -> dict[str, list[str]]:
    """What the host made its own."""
    run("udevadm", "settle")
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return {
        "arrays": [line for line in Path("/proc/mdstat").read_text().splitlines() if line.startswith("md")],
        "labels": [path.name for path in Path("/dev/disk/by-label").glob("hostdata")],
        "mounts": [line for line in mounts if "hostdata" in line],
        "groups": [name for name in run("vgs", "--noheadings", "-o", "vg_name").split() if name != "hostvg"],
        "maps": [name for name in mappings() if name.startswith("vg_guest1")],
    }


@pytest.mark.usefixtures("host_wants_the_label", "lvm_filter")
@pytest.mark.parametrize("step", ["partitions", "kpartx"])
def test_the_host_takes_nothing_of_a_guests_for_its_own(site: Site, tempting_disk: Path, step: str) -> None:
    leave_out = "[disk1p2, disk1p3, vg_guest1/root]"
    site.configure(tempting_disk, f"{step}, mount: {{root: disk1p1, leave-out: {leave_out}}}")
    before = host_state()
    site.call("pre", "nightly")
    found = taken()
    site.call("post", "nightly")
    assert found == {"arrays": [], "labels": [], "mounts": [], "groups": [], "maps": []}
    assert host_state() == before


def test_a_snapshot_of_a_bare_file_system_does_not_stand_in_for_its_origin(site: Site, hostvg: str) -> None:
    origin = new_volume(hostvg, "bare", "32M")
    run("mkfs.ext4", "-q", "-L", "bare-origin", origin)
    run("udevadm", "trigger", "--settle", origin.resolve())
    link = Path("/dev/disk/by-label/bare-origin")
    assert link.resolve() == origin.resolve()
    site.configure(origin, "partitions, mount: {beneath: {}}")
    site.call("pre", "nightly")
    run("udevadm", "settle")
    shown = link.resolve()
    site.call("post", "nightly")
    assert shown == origin.resolve()


@pytest.mark.usefixtures("lvm_filter")
@pytest.mark.parametrize("steps", ["partitions, guest-lv, mount", "partitions, guest-vg, mount"])
def test_metadata_that_names_the_hosts_own_disk_maps_nothing_of_it(
    site: Site, hostile_group: Path, steps: str
) -> None:
    site.configure(hostile_group, steps)
    before = host_state()
    said = site.refused("run", "nightly")
    assert "guest web, open: " in said
    assert host_state() == before
    assert len(said.splitlines()) == 1
    assert not [line for line in run("dmsetup", "table").splitlines() if "evil" in line]


@pytest.fixture(scope="module")
def hostile_group(hostvg: str, udev_rule: None) -> Path:
    """A guest's disk whose volume ``evil`` lies on a physical volume of the same UUID as the host's."""
    del udev_rule
    disk, scratch = new_volume(hostvg, "hostile", "32M"), new_volume(hostvg, "scratch", "64M")
    identity = run("pvs", "--noheadings", "-o", "pv_uuid", "/dev/vdb").strip()
    with loop(disk, (0, 32)) as own, loop(scratch, (0, 64)) as pretended:
        only = ("--yes", "--devices", f"{own},{pretended}")
        run("pvcreate", *only, "--norestorefile", "--uuid", identity, pretended)
        run("vgcreate", *only, "vg_evil", own, pretended)
        run("lvcreate", *only, "--name", "evil", "--extents", "4", "vg_evil", pretended)
        run("vgchange", *only, "--activate", "n", "vg_evil")
    run("lvremove", "--yes", f"{hostvg}/scratch")
    return disk


def test_a_volume_whose_name_would_rewrite_a_terminal_is_shown_escaped(
    site: Site, guest_disk: GuestDisk
) -> None:
    site.configure(
        guest_disk.path, "partitions, guest-lv, mount: {root: disk1p1, beneath: {/x: vg_guest1/root}}"
    )
    physical = guest_disk.path.read_bytes()
    forged = physical.replace(b"root {\nid", b"r\x1b[2 {\nid")
    guest_disk.path.write_bytes(forged)
    said = site.refused("run", "nightly")
    guest_disk.path.write_bytes(physical)
    log = run("journalctl", "--identifier=holdstill", "--output=cat", "--boot")
    assert "guest web, open: " in said
    assert "\x1b" not in said + log


@pytest.mark.usefixtures("lvm_filter")
def test_the_filter_that_check_asks_for_is_one_that_lvm_understands(site: Site, tempting_disk: Path) -> None:
    """What is told to be rejected is rejected by LVM itself: asked with a map of each name."""
    site.configure(tempting_disk, "kpartx, guest-vg, mount")
    with loop(tempting_disk, PHYSICAL) as physical:
        names = {
            "holdstill-x-0": "HOLDSTILL-x-0",
            "hostvg-hs_20260101T000000Z00000000_web.0000_disk1p3": "part3-LVM-x",
        }
        for name, uuid in names.items():
            table = f"0 {PHYSICAL[1] * 2048} linear {physical} 0"
            run("dmsetup", "create", name, "--uuid", uuid, "--table", table)
        groups = run("vgs", "--noheadings", "-o", "vg_name").split()
        for name in names:
            run("dmsetup", "remove", "--retry", name)
    assert groups == ["hostvg"]
    site.call("check")


def test_a_host_without_a_filter_is_refused_before_anything_is_held(site: Site, tempting_disk: Path) -> None:
    site.configure(tempting_disk, "kpartx, mount")
    before = host_state()
    assert "global_filter = [" in site.refused("run", "nightly")
    assert host_state() == before


def test_a_vfat_for_efi_is_mounted_where_the_guest_says(site: Site, hostvg: str, tmp_path: Path) -> None:
    disk = new_volume(hostvg, "efi", "64M")
    run(
        "sfdisk",
        "--quiet",
        disk,
        text="label: gpt\nstart=2048, size=49152, type=uefi\nstart=51200, type=linux\n",
    )
    with loop(disk, (1, 24)) as efi, loop(disk, (25, 38)) as root:
        run("mkfs.vfat", "-i", "CAFE1234", efi)
        run("mkfs.ext4", "-q", root)
        with mounted(root, tmp_path / "root") as tree:
            (tree / "boot" / "efi").mkdir(parents=True)
            (tree / "etc").mkdir()
            (tree / "etc" / "fstab").write_text("UUID=CAFE-1234 /boot/efi vfat umask=0077,exec\n")
    site.configure(disk)
    site.call("pre", "nightly")
    found = (site.tree / "boot" / "efi").is_mount()
    site.call("post", "nightly")
    assert found


def test_a_btrfs_beside_its_mounted_twin_is_refused_with_the_reason_or_mounted(
    site: Site, hostvg: str, tmp_path: Path
) -> None:
    """Linux before 6.7 refuses it, and the reason is not one that it tells."""
    origin, twin = new_volume(hostvg, "btrfs", "112M"), new_volume(hostvg, "twin", "112M")
    run("mkfs.btrfs", "--quiet", "--label", "twins", origin)
    run("dd", f"if={origin}", f"of={twin}", "bs=1M", "conv=fsync")
    site.configure(origin, "partitions, mount: {beneath: {}}")
    before = host_state()
    with mounted(twin, tmp_path / "twin"):
        done = attempt(*site.argv("run", "nightly"))
    if done.returncode:
        assert "a btrfs of the same UUID" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert host_state() == before
