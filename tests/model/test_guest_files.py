"""What a guest wrote is read as data: its fstab, and the names that become names on the host."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdstill_plugins import manifest
from holdstill_plugins.fstab import Entry, plain_point, read_fstab
from holdstill_plugins.lvm_names import safe_name


def test_lines_that_mount_a_disk_are_read_outer_mount_points_first():
    text = """
    # a remark
    /dev/mapper/vg-root / ext4 defaults 0 1
    UUID="AB-12" /srv/data ext4 defaults
    /dev/disk/by-label/home /home xfs
    PARTUUID=ABCD-01 /boot ext3
    """
    assert read_fstab(text) == (
        Entry("/dev/mapper/vg-root", "/"),
        Entry("LABEL=home", "/home"),
        Entry("PARTUUID=abcd-01", "/boot"),
        Entry("UUID=AB-12", "/srv/data"),
    )


@pytest.mark.parametrize(
    "line",
    [
        "server:/export /mnt nfs defaults",
        "//server/share /mnt cifs defaults",
        "tmpfs /tmp tmpfs defaults",
        "/srv /mnt none bind",
        "/dev/sr0 /media/cdrom iso9660 user,noauto",
        "UUID=1 none swap sw",
        "UUID=1 /../etc ext4 defaults",
        "UUID=1 relative ext4 defaults",
        r"UUID=1 /boot\033[2J ext4 defaults",
        r"UUID=1 /boot\000 ext4 defaults",
        "UUID=1",
    ],
)
def test_lines_that_mean_no_disk_or_no_place_beneath_the_root_are_passed_over(line):
    assert read_fstab(line) == ()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/dev/xvda1", "disk1p1"),
        ("/dev/sdb", "disk2"),
        ("/dev/vdc12", "disk3p12"),
        ("/dev/nvme0n1p3", "disk1p3"),
        ("/dev/md0", ""),
    ],
)
def test_a_disk_by_the_guests_name_is_a_disk_by_ours(source, name):
    assert Entry(source, "/x").disk_name == name


def test_a_subvolume_is_told():
    assert read_fstab("UUID=1 /home btrfs subvol=@home 0 0")[0].subvolume


def test_a_thousand_lines_are_refused():
    with pytest.raises(ValueError, match="more than"):
        read_fstab("\n".join(f"UUID={number} /{number} ext4" for number in range(1000)))


@given(st.text())
def test_whatever_an_fstab_says_its_mount_points_lie_beneath_the_root(text):
    for entry in read_fstab(text):
        parts = entry.point.split("/")
        assert entry.point.startswith("/")
        assert ".." not in parts
        assert "." not in parts
        assert entry.point == "/" or "" not in parts[1:]
        assert entry.point.isprintable()


@given(st.text())
def test_a_plain_mount_point_is_its_own_plain_form(text):
    point = plain_point("/" + text)
    assert point in {"", plain_point(point)}


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", fullmatch=True))
def test_a_guests_name_never_makes_a_name_that_lvm_keeps_for_itself(guest):
    assert "_" not in safe_name(guest)
    assert len(safe_name(guest)) <= 29


def test_guests_whose_names_are_cut_alike_are_told_apart():
    assert safe_name("x" * 64) != safe_name("x" * 63 + "y")


def test_an_archive_of_hard_links_holds_against_its_manifest(tmp_path):
    tree, archive, listed = tmp_path / "tree", tmp_path / "a.tar", tmp_path / "a.manifest"
    (tree / "folder").mkdir(parents=True)
    (tree / "file").write_text("content")
    os.link(tree / "file", tree / "folder" / "same")
    (tree / "link").symlink_to("file")
    os.link(tree / "link", tree / "also", follow_symlinks=False)
    manifest.write(str(tree), str(listed))
    subprocess.run(["tar", "--create", "--file", archive, "--directory", tree, "."], check=True)
    assert manifest.check(str(archive), str(listed)) == []


def test_a_file_that_cannot_be_read_is_named_in_a_line(tmp_path, mocker, capsys):
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "lost").write_text("on a bad block")
    mocker.patch.object(manifest, "_digest", side_effect=OSError(5, "Input/output error"))
    assert manifest.main(["write", str(tmp_path / "tree"), str(tmp_path / "manifest")]) == 1
    assert capsys.readouterr() == ("", f"{tmp_path}/tree/lost: Input/output error\n")


def test_an_archive_that_lacks_or_changes_a_file_does_not_hold(tmp_path):
    tree, archive, listed = tmp_path / "tree", tmp_path / "a.tar", tmp_path / "a.manifest"
    tree.mkdir()
    (tree / "changed").write_text("before")
    (tree / "lost").write_text("here")
    manifest.write(str(tree), str(listed))
    (tree / "changed").write_text("behind")
    (tree / "lost").unlink()
    subprocess.run(["tar", "--create", "--file", archive, "--directory", tree, "."], check=True)
    assert manifest.check(str(archive), str(listed)) == [
        "'changed' differs in sha256",
        "'lost' is not in the archive",
    ]
    assert {json.loads(line)["path"] for line in listed.read_text().splitlines()} == {"changed", "lost"}


def test_folders_that_are_nested_deeper_than_python_calls_itself_are_in_the_manifest(tmp_path):
    tree, archive, listed = tmp_path / "tree", tmp_path / "a.tar", tmp_path / "a.manifest"
    folders = [Path(f"{tree}{'/d' * depth}") for depth in range(1500)]
    for folder in folders:
        folder.mkdir()
    try:
        assert manifest.write(str(tree), str(listed)) == {"entries": len(folders) - 1, "bytes": 0}
        subprocess.run(["tar", "--create", "--file", archive, "--directory", tree, "."], check=True)
        assert manifest.check(str(archive), str(listed)) == []
    finally:
        for folder in reversed(folders):  # pytest could not
            folder.rmdir()


def test_a_manifest_is_in_order_folder_by_folder(tmp_path):
    for path in ("b/y", "b/x", "a", "b.c"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()
    assert [path for path, _ in manifest.walk(str(tmp_path))] == ["a", "b", "b/x", "b/y", "b.c"]
