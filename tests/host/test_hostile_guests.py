"""What a hostile guest may write on its disk, and what the host makes of it: nothing is followed, nothing changed.

What needs device-mapper, udev or the host's own LVM for it is in the lab's scenarios.
"""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdstill.host.real import RealHost
from holdstill.testing.disks import Extents, Stretch, write_volume_group

ROOT = "[partitions, mount: {root: disk1p5}]"


@pytest.fixture
def refused(site, new_disk, host_state):
    """Refuse a guest's disk, in which these commands of debugfs(8) were done, in one sentence; give it."""

    def run(*commands: str) -> str:
        disk = new_disk(layout="mbr2048", lvm=False)
        change(disk, *commands)
        site.back_up(disk.path, open=ROOT)
        before = host_state(), Path("/etc").stat().st_dev, sorted(Path("/etc").iterdir())
        done = site.call("run", "nightly")
        assert done.returncode == 65, done.stderr
        assert (host_state(), Path("/etc").stat().st_dev, sorted(Path("/etc").iterdir())) == before
        assert site.held() == []
        assert_plain(done.stdout + done.stderr)
        [sentence] = [line for line in done.stderr.splitlines() if line]
        return sentence

    return run


def assert_plain(text: str) -> None:
    """Assert that nothing in ``text`` could rewrite a terminal."""
    assert [char for char in text if not char.isprintable() and char != "\n"] == []


def change(disk, *commands: str) -> None:
    """Do as the guest's root would, in its root file system."""
    subprocess.run(
        ["debugfs", "-w", "-f", "-", f"{disk.path}?offset={disk.root.start}"],
        input="".join(f"{command}\n" for command in commands),
        check=True,
        text=True,
        capture_output=True,
    )


@pytest.fixture
def fstab(tmp_path):
    """Give debugfs's commands that put a text in the place of the guest's /etc/fstab."""

    def commands(text: str) -> list[str]:
        (tmp_path / "fstab").write_text(text)
        return ["rm /etc/fstab", f"write {tmp_path / 'fstab'} /etc/fstab"]

    return commands


@pytest.mark.parametrize("target", ["/etc", "../../../../../../../../etc", "/proc/1/root/etc", "srv"])
def test_a_mount_point_that_is_a_link_is_not_followed(refused, target):
    said = refused("rmdir /boot", f"symlink /boot {target}")
    assert "/boot" in said
    assert "a guest's links are not followed" in said


def test_a_mount_point_beneath_a_link_is_not_followed(refused, fstab):
    said = refused(*fstab("LABEL=boot /escape/here ext3 defaults\n"), "symlink /escape /etc")
    assert "a guest's links are not followed" in said


def test_a_mount_point_that_is_a_device_node_is_refused(refused):
    assert "cannot be mounted at" in refused("rmdir /boot", "mknod boot b 8 0")


def test_a_mount_point_swapped_for_a_link_in_the_meantime_is_still_the_one_that_was_looked_at(tmp_path):
    """The tree of a snapshot does not change; a tree that does could not make us mount elsewhere."""
    tree, elsewhere = tmp_path / "tree", tmp_path / "elsewhere"
    (tree / "boot").mkdir(parents=True)
    elsewhere.mkdir()
    host = RealHost()
    with host.beneath(str(tree), "/boot") as place:
        (tree / "boot").rename(tree / "moved")
        (tree / "boot").symlink_to(elsewhere)
        argv = ("mount", "--no-canonicalize", "--types", "tmpfs", "tmpfs", place)
        host.run(*argv, env={"LIBMOUNT_FORCE_MOUNT2": "always"})
    try:
        assert (tree / "moved").is_mount()
        assert not elsewhere.is_mount()
    finally:
        subprocess.run(["umount", tree / "moved"], check=True)


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("symlink /etc/fstab /etc/shadow", "a guest's links are not followed"),
        ("cd /etc|mknod fstab p", "no plain file"),
        ("cd /etc|mknod fstab c 1 5", "no plain file"),
        ("mkdir /etc/fstab", "no plain file"),
    ],
)
def test_an_fstab_that_is_no_plain_file_is_not_read(refused, made, why):
    assert why in refused("rm /etc/fstab", *made.split("|"))


def test_an_fstab_of_a_tebibyte_is_not_read(refused):
    assert "is longer than" in refused("set_inode_field /etc/fstab size 1099511627776")


def test_an_fstab_of_a_thousand_lines_is_not_used(refused, fstab):
    lines = "".join(f"LABEL=boot /srv/{number} ext3 defaults\n" for number in range(1000))
    assert "more than 256 lines" in refused(*fstab(lines))


@pytest.mark.parametrize(
    "source",
    [
        "/dev/loop0",
        "/dev/vda",
        "/dev/mapper/hostvg-root",
        "/dev/disk/by-path/../../vda",
        "/dev/../etc/passwd",
    ],
)
def test_an_fstab_that_names_the_hosts_devices_finds_none_of_them(refused, fstab, source):
    said = refused(*fstab(f"{source} /srv ext4 defaults\n"))
    assert f"mounts {source} at /srv, which fits no file system" in said


def test_network_and_bind_mounts_of_a_guests_fstab_are_not_made(site, new_disk, fstab):
    disk = new_disk(layout="mbr2048", lvm=False)
    lines = [
        "LABEL=boot /boot ext3 defaults,bind,X-mount.mkdir,x-systemd.automount,loop,suid,dev,exec,rw",
        "server:/export /srv nfs defaults",
        "//server/share /srv cifs defaults",
        "/etc /srv none bind",
        "overlay /srv overlay lowerdir=/etc:/root",
        "tmpfs /srv tmpfs defaults",
    ]
    change(disk, *fstab("\n".join(lines) + "\n"))
    site.back_up(disk.path, open=ROOT)
    assert site.call("pre", "nightly").returncode == 0
    tree = f"{site.trees}/nightly/web"
    rows = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    mounted = {row[4]: set(row[5].split(",")) for row in rows if row[4].startswith(tree)}
    assert site.call("post", "nightly").returncode == 0
    assert set(mounted) == {tree, f"{tree}/boot"}
    for options in mounted.values():
        assert {"ro", "nosuid", "nodev", "noexec", "nosymfollow"} <= options


def test_control_characters_in_an_fstab_reach_no_terminal_and_no_log(refused, fstab):
    said = refused(*fstab("LABEL=\x1b]0;forged\x07 /srv ext4 defaults\n"))
    assert r"LABEL=\x1b]0;forged\x07 at /srv" in said


def test_a_label_that_is_made_of_control_characters_reaches_no_terminal(site, new_disk):
    disk = new_disk(layout="bare", lvm=False)
    subprocess.run(["tune2fs", "-L", "\x1b[2J\nforged", disk.path], check=True, capture_output=True)
    site.back_up(disk.path, open="[partitions, mount: {beneath: {/x: 'none'}}]")
    done = site.call("run", "nightly", "--verbose")
    assert done.returncode == 65
    assert_plain(done.stdout + done.stderr)


def test_a_file_system_that_the_kernel_refuses_is_a_sentence(site, new_disk, host_state):
    disk = new_disk(layout="bare", lvm=False)
    subprocess.run(
        ["debugfs", "-w", "-R", "set_super_value feature_incompat 0x80000242", disk.path],
        check=True,
        capture_output=True,
    )
    site.back_up(disk.path)
    before = host_state()
    done = site.call("run", "nightly")
    assert done.returncode == 65
    assert "disk1 (ext4) cannot be mounted at" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert host_state() == before


def test_a_journal_on_another_device_is_refused_before_anything_is_mounted(site, new_disk, host_state):
    disk = new_disk(layout="mbr2048", lvm=False)
    with loop(disk.path, disk.places["boot"][0]) as journal, loop(disk.path, disk.root) as root:
        subprocess.run(["mke2fs", "-q", "-F", "-O", "journal_dev", "-b", "1024", journal], check=True)
        subprocess.run(
            ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-J", f"device={journal}", root], check=True
        )
    site.back_up(disk.path)
    before = host_state()
    done = site.call("run", "nightly")
    assert done.returncode == 65
    assert "disk1p5 of guest web is ext4 with an external journal" in done.stderr
    assert host_state() == before


@contextmanager
def loop(path, place):
    """A writable loop device, as the guest would see that part of its disk."""
    words = ["--offset", str(place.start), "--sizelimit", str(place.size), path]
    device = subprocess.run(
        ["losetup", "--find", "--show", *words], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)


@contextmanager
def held(site):
    """The guest's tree, for as long as its backup would read it."""
    done = site.call("pre", "nightly")
    assert done.returncode == 0, done.stderr
    yield site.trees / "nightly" / "web"
    assert site.call("post", "nightly").returncode == 0


def test_nothing_of_a_guest_can_be_run_or_written_and_none_of_its_device_nodes_works(site, new_disk):
    disk = new_disk(layout="mbr2048", lvm=False)
    change(
        disk,
        "write /bin/true set-uid",
        "set_inode_field /set-uid mode 0104755",
        "mknod null c 1 3",
        "mknod disk b 7 0",
        f"write {__file__} /plain",
    )
    site.back_up(disk.path, open=ROOT)
    with held(site) as tree:
        assert (tree / "set-uid").stat().st_mode == 0o104755
        with pytest.raises(PermissionError):
            subprocess.run([tree / "set-uid"], check=False)
        for node in ("null", "disk"):
            with pytest.raises(PermissionError):
                (tree / node).open("rb")
        with pytest.raises(OSError, match="Read-only"):
            (tree / "plain").write_text("")
        rows = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        options = [set(row[5].split(",")) for row in rows if row[4].startswith(str(tree))]
    assert len(options) == 2
    for found in options:
        assert {"ro", "nosuid", "nodev", "noexec", "nosymfollow"} <= found


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_what_a_guest_fsynced_before_the_snapshot_is_there_and_noload_would_have_lost_it(
    site, tmp_path, kind
):
    """The snapshot of a guest that runs is a crash: what is promised to its files is in the journal alone."""
    origin, crashed, point = tmp_path / "origin.img", tmp_path / "crashed.img", tmp_path / "point"
    point.mkdir()
    with origin.open("wb") as file:
        file.truncate(400 << 20)
    subprocess.run([f"mkfs.{kind}", "-q", origin], check=True)
    subprocess.run(["mount", "-o", "loop", origin, point], check=True)
    try:
        names = [f"fsynced-{number:03}" for number in range(100)]
        for name in names:
            write_and_fsync(point / name)
        subprocess.run(["cp", "--sparse=always", origin, crashed], check=True)
    finally:
        subprocess.run(["umount", point], check=True)
    site.back_up(crashed, open="[partitions, mount: {root: disk1, beneath: {}}]")
    before = crashed.read_bytes()
    with held(site) as tree:
        assert all((tree / name).read_text() == name for name in names)
    assert crashed.read_bytes() == before
    skipping = {"ext4": "noload", "xfs": "norecovery"}[kind]
    subprocess.run(["mount", "-o", f"loop,ro,{skipping}", crashed, point], check=True)
    try:
        assert len(list(point.glob("fsynced-*"))) < len(names)
    finally:
        subprocess.run(["umount", point], check=True)


def write_and_fsync(path: Path) -> None:
    with path.open("w") as file:
        file.write(path.name)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


HOSTILE = {
    "outside": {"root": [Extents(1 << 24, 2)]},
    "overlapping": {"root": [Extents(0, 4)], "data": [Extents(2, 4)]},
    "twice": {"root": [Extents(0, 2), Extents(0, 2)]},
    "on itself": {"root": [Extents(0, 2, "root")]},
    "in circles": {"root": [Extents(0, 2, "data")], "data": [Extents(0, 2, "root")]},
}


@pytest.mark.parametrize("volumes", HOSTILE.values(), ids=HOSTILE)
def test_metadata_that_no_lvm_would_write_opens_nothing(site, new_disk, host_state, volumes):
    disk = new_disk(layout="bare", lvm=True)
    write_volume_group("vg_web", [(disk.path, Stretch(0, disk.path.stat().st_size))], volumes)
    refuse_metadata(site, disk, host_state)


@pytest.mark.parametrize(("at", "junk"), [(4096, 64), (4608, 1 << 19), (512, 32)])
def test_metadata_that_is_garbage_or_huge_opens_nothing(site, new_disk, host_state, at, junk):
    disk = new_disk(layout="bare", lvm=True)
    with disk.path.open("r+b") as file:
        file.seek(at)
        file.write(b"vg { \x1b[2J " * (junk // 10))
    refuse_metadata(site, disk, host_state)


def refuse_metadata(site, disk, host_state):
    site.back_up(disk.path, open="[partitions, guest-lv, mount: {beneath: {}}]")
    before = host_state()
    done = site.call("run", "nightly")
    assert done.returncode in {65, 71}, "it is refused by us, or by LVM itself"
    assert_plain(done.stdout + done.stderr)
    assert len(done.stderr.splitlines()) == 1
    assert host_state() == before
