"""Partition tables as guests have them: for sectors of either size, with names of any kind, and made to fool us."""

from __future__ import annotations

import struct
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

MIB = 1 << 20
SECTOR, LARGE_SECTOR = 512, 4096
BOTH = "[partitions, guest-lv, mount: {leave-out: [/boot]}]"


@pytest.mark.parametrize("layout", ["mbr2048", "gpt"])
@pytest.mark.parametrize("lvm", [True, False])
def test_a_table_for_sectors_of_4096_bytes_is_read_on_a_device_with_512(
    site, new_disk, host_state, layout, lvm
):
    disk = new_disk(layout=layout, lvm=lvm)
    rewrite_table(disk, layout)
    site.back_up(disk.path)
    before = host_state()
    with held(site) as tree:
        assert (tree / "etc" / "hostname").read_text() == "web\n"
        assert (tree / "boot" / "vmlinuz").is_file()
    assert host_state() == before


def test_kpartx_refuses_a_table_for_other_sectors_and_names_what_can_read_it(site, new_disk):
    disk = new_disk(layout="gpt", lvm=False)
    rewrite_table(disk, "gpt")
    site.back_up(disk.path, open="[kpartx-without-checks, mount]")
    (site.folder / "plugins").mkdir()
    (site.folder / "plugins" / "kpartx-without-checks.py").write_text(
        "from holdstill_plugins.kpartx import holdstill_open, holdstill_undo  # there may be no device-mapper here\n"
    )
    done = site.call("run", "nightly")
    assert done.returncode == 65
    assert "sectors of 4096 bytes" in done.stderr
    assert "name 'partitions' instead of 'kpartx'" in done.stderr


def test_a_partition_of_an_mbr_is_found_by_its_partuuid(site, new_disk, trees):
    disk = new_disk(layout="mbr2048", lvm=False)
    identity = subprocess.run(
        ["sfdisk", "--disk-id", disk.path], check=True, capture_output=True, text=True
    ).stdout.strip()
    table = f"PARTUUID={identity[2:].upper()}-01 /boot ext3 defaults 0 2\n"
    write_fstab(disk, table)
    site.back_up(disk.path, open="[partitions, mount: {root: disk1p5}]")
    with held(site) as tree:
        assert (tree / "boot" / "vmlinuz").is_file()
    assert (trees / "boot" / "vmlinuz").is_file()


@pytest.mark.parametrize(
    ("entries", "why"),
    [
        ([(2048, 8192), (4096, 8192)], "overlaps another one, or the table"),
        ([(0, 8192)], "overlaps another one, or the table"),
        ([(2048, 1 << 30)], "ends outside the disk"),
        ([((1 << 32) - 8, (1 << 32) - 1)], "ends outside the disk"),
    ],
)
def test_partitions_that_overlap_or_leave_the_disk_are_refused(site, new_disk, host_state, entries, why):
    disk = new_disk(layout="bare", lvm=False)
    with disk.path.open("r+b") as file:
        file.write(mbr(entries))
    site.back_up(disk.path, open=BOTH)
    before = host_state()
    done = site.call("run", "nightly")
    assert done.returncode == 65
    assert why in done.stderr
    assert len(done.stderr.splitlines()) < 4
    assert host_state() == before


def test_a_gpt_that_is_cut_off_is_said_to_be(site, new_disk, host_state):
    disk = new_disk(layout="gpt", lvm=False)
    zero(disk.path, SECTOR, MIB - SECTOR)
    zero(disk.path, disk.path.stat().st_size - MIB, MIB)
    site.back_up(disk.path, open=BOTH)
    before = host_state()
    done = site.call("run", "nightly")
    assert done.returncode == 65
    assert "only its protective MBR is left" in done.stderr
    assert host_state() == before


def test_control_characters_in_a_partitions_name_reach_no_terminal(site, new_disk):
    disk = new_disk(layout="gpt", lvm=False)
    subprocess.run(["sfdisk", "--part-label", disk.path, "2", "\x1b[2Jforged"], check=True)
    write_fstab(disk, "PARTLABEL=\x1b[2Jforged /boot ext3 defaults 0 2\nPARTLABEL=\x1b[2Jnone /srv ext4\n")
    site.back_up(disk.path, open="[partitions, mount: {root: disk1p3}]")
    done = site.call("run", "nightly", "--verbose")
    assert done.returncode == 65
    assert "\x1b" not in done.stdout + done.stderr
    assert r"PARTLABEL=\x1b[2Jnone at /srv, which fits no file system" in done.stderr


@contextmanager
def held(site):
    """The guest's tree, for as long as its backup would read it."""
    done = site.call("pre", "nightly")
    assert done.returncode == 0, done.stderr
    yield site.trees / "nightly" / "web"
    assert site.call("post", "nightly").returncode == 0


def rewrite_table(disk, layout):
    """Write the partition table anew, as the guest would whose disk has sectors of 4,096 bytes."""
    zero(disk.path, 0, MIB)
    zero(disk.path, disk.path.stat().st_size - 64 * SECTOR, 64 * SECTOR)
    lines = [
        f"start={line.place.start // LARGE_SECTOR}, size={line.place.size // LARGE_SECTOR}, type={line.type}\n"
        for line in disk.partitions
    ]
    loop = subprocess.run(
        ["losetup", "--find", "--show", "--sector-size", str(LARGE_SECTOR), disk.path],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    try:
        label = "gpt" if layout == "gpt" else "dos"
        script = f"label: {label}\n" + "".join(lines)
        subprocess.run(
            ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", loop],
            input=script,
            check=True,
            text=True,
            capture_output=True,
        )
    finally:
        subprocess.run(["losetup", "--detach", loop], check=True)


def write_fstab(disk, text):
    """Replace the guest's /etc/fstab, in the root file system on its disk."""
    source = disk.path.with_suffix(".fstab")
    source.write_text(text)
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"{disk.path}?offset={disk.root.start}"],
        input=f"rm /etc/fstab\nwrite {source} /etc/fstab\n",
        check=True,
        text=True,
        capture_output=True,
    )


def zero(path: Path, start: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(start)
        file.write(bytes(size))


def mbr(entries):
    """An MBR with these (start, size), whatever they are; no program would write such a one."""
    lines = [struct.pack("<B3sB3sII", 0, b"", 0x83, b"", start, size) for start, size in entries]
    return bytes(446) + b"".join(lines).ljust(64, b"\0") + b"\x55\xaa"
