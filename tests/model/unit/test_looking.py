"""Looking at the host, and reaching into a guest's tree without following what the guest put there."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdstill.errors import GuestUnusableError, StorageError
from holdstill.host import NodeKind
from holdstill.host.beneath import LONGEST, NotInTreeError
from holdstill.host.real import RealHost


@pytest.fixture
def host():
    return RealHost()


@pytest.fixture
def tree(tmp_path):
    """A guest's tree, with a secret of the host beside it."""
    (tmp_path / "secret").write_text("of the host")
    root = tmp_path / "tree"
    (root / "etc" / "deep").mkdir(parents=True)
    (root / "etc" / "fstab").write_text("of the guest")
    return root


def test_what_is_at_a_path_is_told(host, tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("file")
    assert (host.look(str(tmp_path / "file")).kind, host.look(str(tmp_path / "file")).size) == (
        NodeKind.FILE,
        5,
    )
    assert host.look(str(tmp_path)).kind is NodeKind.FOLDER
    assert host.look(str(tmp_path / "fifo")).kind is NodeKind.OTHER
    assert host.look(str(tmp_path / "link")).kind is NodeKind.FILE


@pytest.mark.parametrize("path", ["nothing", "file/beneath", "loop", "dangling", "x" * 300, "a\0b"])
def test_where_nothing_can_be_is_nothing(host, tmp_path, path):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert host.look(str(tmp_path / path)) is None


def test_a_device_node_without_a_device_is_nothing(host, tmp_path):
    try:
        os.mknod(tmp_path / "left-behind", stat.S_IFBLK, os.makedev(4095, 1))
    except PermissionError:
        pytest.skip("only root makes device nodes")
    assert host.look(str(tmp_path / "left-behind")) is None


def test_a_write_to_a_file_shows_in_what_is_told_of_it(host, tmp_path):
    (tmp_path / "image").write_bytes(b"a")
    os.utime(tmp_path / "image", ns=(1, 1))
    before = host.look(str(tmp_path / "image"))
    (tmp_path / "image").write_bytes(b"b")
    assert host.look(str(tmp_path / "image")) != before


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_file_of_ours_is_readable_by_all_whatever_the_umask(host, tmp_path, umask):
    before = os.umask(umask)
    host.write(str(tmp_path / "note"), "held")
    os.umask(before)
    assert ((tmp_path / "note").read_text(), (tmp_path / "note").stat().st_mode & 0o777) == ("held", 0o644)


def test_a_file_that_cannot_be_written_is_a_sentence(host, tmp_path):
    with pytest.raises(StorageError, match="cannot be written: No such file or directory"):
        host.write(str(tmp_path / "nowhere" / "note"), "held")


# Beneath


@pytest.mark.parametrize("path", ["etc/fstab", "/etc/fstab", "/etc/deep/../fstab", "//etc//fstab/"])
def test_a_file_of_the_guest_is_read(host, tree, path):
    if path.endswith("/"):
        path = path.rstrip("/")
    assert host.read_beneath(str(tree), path) == "of the guest"


@pytest.mark.parametrize("path", ["etc/none", "none/fstab", "etc/fstab/beneath", ""])
def test_a_file_that_is_not_there_is_none(host, tree, path):
    if path:
        assert host.read_beneath(str(tree), path) is None
    else:
        with pytest.raises(GuestUnusableError, match="is no plain file"):
            host.read_beneath(str(tree), path)


LINKS = {
    "absolute": ("etc/link", "/etc/hostname", "etc/link"),
    "upwards": ("etc/link", "../../secret", "etc/link"),
    "inside": ("etc/link", "fstab", "etc/link"),
    "a folder in the middle": ("var", "etc", "var/fstab"),
    "an absolute folder in the middle": ("var", "/etc", "var/hostname"),
    "to itself": ("loop", "loop", "loop"),
    "to the root": ("top", "/", "top/etc/hostname"),
}


@pytest.mark.parametrize("shape", sorted(LINKS))
def test_no_link_of_the_guest_is_followed(host, tree, shape):
    link, target, path = LINKS[shape]
    (tree / link).symlink_to(target)
    with pytest.raises(GuestUnusableError, match="a symbolic link is on the way") as caught:
        host.read_beneath(str(tree), path)
    assert caught.value.code == 65
    with pytest.raises(GuestUnusableError), host.beneath(str(tree), path):
        pytest.fail("the link was followed")


@pytest.mark.parametrize("path", ["../secret", "/../secret", "etc/../../secret", "../tree/etc/fstab"])
def test_nothing_leads_out_of_the_tree(host, tree, path):
    with pytest.raises(GuestUnusableError):
        host.read_beneath(str(tree), path)


def test_a_link_of_the_kernels_own_is_not_followed(host):
    with pytest.raises(GuestUnusableError):
        host.read_beneath("/proc", "self/root/etc/hostname")


@pytest.mark.parametrize("name", ["\0", "etc\0/fstab", "etc/fstab\0"])
def test_a_name_is_never_cut_short(host, tree, name):
    with pytest.raises(GuestUnusableError):
        host.read_beneath(str(tree), name)


def test_a_fifo_does_not_make_us_wait(host, tree):
    os.mkfifo(tree / "etc" / "pipe")
    with pytest.raises(GuestUnusableError, match=r"/etc/pipe in .* is no plain file"):
        host.read_beneath(str(tree), "/etc/pipe")


@pytest.mark.parametrize(("more", "refused"), [(0, False), (1, True)])
def test_a_file_that_is_too_long_is_refused(host, tree, more, refused):
    (tree / "etc" / "fstab").write_bytes(b"x" * (LONGEST + more))
    if refused:
        with pytest.raises(GuestUnusableError, match=f"is longer than {LONGEST} bytes"):
            host.read_beneath(str(tree), "etc/fstab")
    else:
        assert len(host.read_beneath(str(tree), "etc/fstab")) == LONGEST


@pytest.fixture(scope="module")
def bare_tree(tmp_path_factory):
    return tmp_path_factory.mktemp("bare")


@given(st.text(max_size=20))
def test_whatever_a_guest_names_its_files_the_answer_is_a_sentence_or_nothing(bare_tree, path):
    assert said_of(bare_tree, path).isprintable()


def said_of(tree, path):
    try:
        return RealHost().read_beneath(str(tree), path) or ""
    except GuestUnusableError as error:
        return str(error)


def test_a_tree_that_is_not_there_is_a_sentence(host, tmp_path):
    with pytest.raises(GuestUnusableError, match="cannot be opened: No such file or directory"):
        host.read_beneath(str(tmp_path / "nowhere"), "x")


def test_a_place_beneath_can_be_used_by_commands_and_by_nothing_later(host, tree):
    with host.beneath(str(tree), "etc") as place:
        assert host.ask("ls", f"{place}/").out.split() == ["deep", "fstab"]
    assert host.ask("sh", "-c", f"test -e {place}", ok=(0, 1)).status == 1


def test_a_place_beneath_stays_the_same_thing_whatever_the_guest_does(host, tree):
    with host.beneath(str(tree), "etc") as place:
        (tree / "etc").rename(tree / "moved")
        (tree / "etc").symlink_to("/proc")
        assert host.ask("ls", f"{place}/").out.split() == ["deep", "fstab"]


def test_a_place_that_is_not_there_is_its_own_error(host, tree):
    with pytest.raises(NotInTreeError, match=r"/boot in .* does not exist"), host.beneath(str(tree), "/boot"):
        pytest.fail("nothing is there")


def test_no_descriptor_is_left_open(host, tree):
    (tree / "link").symlink_to("/")
    before = sorted(Path("/proc/self/fd").iterdir())
    for path in ("etc/fstab", "none", "link", "etc"):
        try:
            host.read_beneath(str(tree), path)
        except GuestUnusableError:
            continue
    assert sorted(Path("/proc/self/fd").iterdir()) == before
