"""A guest's disk as the users of 2009 had it: an LV with an MBR, ext3 /boot and its own volume group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

from .system import run

SECTOR = 512
TABLE = "label: dos\nstart=63, size=98304, type=83, bootable\nstart=98816, type=8e\n"
BOOT_START, BOOT_SIZE, PV_START = 63, 98304, 98816
RULE = Path("/run/udev/rules.d/10-lab-loops.rules")

DATA_FILES = {f"srv/data/{n // 50}/file-{n:03}": f"{n}\n".encode() * (n + 1) for n in range(300)}
BOOT_FILES = {"vmlinuz-5.10": b"kernel" * 50_000, "grub/menu.lst": b"default 0\n"}
ROOT_FILES = {
    "etc/fstab": b"/dev/vg_guest1/root / ext4 defaults 0 1\n/dev/xvda1 /boot ext3 defaults 0 2\n",
    "etc/hostname": b"guest1\n",
    **DATA_FILES,
}


@dataclass(frozen=True)
class GuestDisk:
    """A guest's disk, and what a backup of it must find."""

    path: Path
    boot_files: Mapping[str, bytes] = field(repr=False)
    root_files: Mapping[str, bytes] = field(repr=False)


def new_volume(host_vg: str, name: str, size: str = "256M") -> Path:
    """Make an empty logical volume of the host."""
    run("lvcreate", "--yes", "--name", name, "--size", size, host_vg)
    return Path("/dev") / host_vg / name


def make_guest_disk(
    host_vg: str,
    name: str,
    guest_vg: str = "vg_guest1",
    size: str = "256M",
    more_files: Mapping[str, bytes] = MappingProxyType({}),
) -> GuestDisk:
    """Make and fill the logical volume ``name``, and leave no trace of its volume group on the host."""
    disk = new_volume(host_vg, name, size)
    fstab = ROOT_FILES["etc/fstab"].replace(b"vg_guest1", guest_vg.encode())
    root_files = {**ROOT_FILES, "etc/fstab": fstab, **more_files}
    with new_tree(disk, guest_vg) as tree:
        _fill(tree, root_files)
        _fill(tree / "boot", BOOT_FILES)
    return GuestDisk(disk, BOOT_FILES, root_files)


@contextmanager
def new_tree(disk: Path, guest_vg: str = "vg_guest1") -> Iterator[Path]:
    """Give the empty file systems of a new guest's disk, mounted as the guest will mount them."""
    run("sfdisk", "--quiet", disk, text=TABLE)
    with (
        TemporaryDirectory() as folder,
        udev_kept_off_loops(),
        loop_on(disk, BOOT_START, BOOT_SIZE) as boot,
        loop_on(disk, PV_START) as pv,
        _active_root(guest_vg, pv) as root,
    ):
        run("mkfs.ext3", "-q", "-L", "boot", boot)
        run("mkfs.ext4", "-q", "-L", "root", root)
        with mounted(root, Path(folder)) as tree, mounted(boot, tree / "boot"):
            yield tree
    run("blockdev", "--flushbufs", disk)


@contextmanager
def udev_kept_off_loops() -> Iterator[None]:
    """Keep udev from activating the guest's volume group when it sees the loop device with its PV."""
    RULE.parent.mkdir(parents=True, exist_ok=True)
    RULE.write_text('SUBSYSTEM=="block", KERNEL=="loop*", ENV{DM_UDEV_DISABLE_OTHER_RULES_FLAG}="1"\n')
    run("udevadm", "control", "--reload")
    try:
        yield
    finally:
        run("udevadm", "settle")
        RULE.unlink()
        run("udevadm", "control", "--reload")


@contextmanager
def loop_on(disk: Path, start: int, sectors: int = 0) -> Iterator[str]:
    size = ["--sizelimit", str(sectors * SECTOR)] if sectors else []
    loop = run("losetup", "--find", "--show", "--offset", str(start * SECTOR), *size, disk).strip()
    try:
        yield loop
    finally:
        run("losetup", "--detach", loop)


@contextmanager
def _active_root(vg: str, pv: str) -> Iterator[Path]:
    """Make the guest's volume group. By its PV alone: the host may have one of the same name."""
    only = ["--devices", pv, "--yes"]
    # vgcreate refuses a name that it finds in /dev, so it is shown another folder.
    run("vgcreate", *only, "--config", 'devices{dir="/run"}', vg, pv)
    run("lvcreate", *only, "--name", "root", "--extents", "100%FREE", vg)
    try:
        yield Path("/dev") / vg / "root"
    finally:
        run("vgchange", *only, "--activate", "n", vg)


@contextmanager
def mounted(device: str | Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    run("mount", device, folder)
    try:
        yield folder
    finally:
        run("umount", folder)


def _fill(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
