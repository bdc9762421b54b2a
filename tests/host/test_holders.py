"""Who keeps a tree or a device open: found, named, and waited for."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from holdstill.host.real import RealHost

MIB = 1 << 20
SAY_READY = "; echo ready; read -r _"
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a program that says that it is ready, and ends when its input does."""
    with ExitStack() as stack:

        def begin(*argv: str, **how: object) -> subprocess.Popen[str]:
            process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **how)  # type: ignore[call-overload]
            stack.callback(end, process)
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            return process

        yield begin


def end(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()
    process.wait(90)
    assert process.stdout
    process.stdout.close()


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[str]:
    """A loop device with a file system that has something in it."""
    image = tmp_path / "held.img"
    with image.open("wb") as file:
        file.truncate(16 * MIB)
    content = tmp_path / "content"
    content.mkdir()
    (content / "file").write_bytes(b"x" * 8192)
    (content / "inner.img").write_bytes(bytes(4 * MIB))
    subprocess.run(["mkfs.ext4", "-q", "-d", content, image], check=True)
    path = subprocess.run(
        ["losetup", "--find", "--show", image], capture_output=True, text=True, check=True
    ).stdout.strip()
    yield path
    subprocess.run(["losetup", "--detach", path], check=True)


@pytest.fixture
def tree(loop: str, tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "a tree"
    folder.mkdir()
    subprocess.run(["mount", loop, folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


def held(*places: str | Path) -> list[tuple[str, int, str]]:
    found = RealHost().holders([str(place) for place in places])
    return [(holder.name, holder.pid, holder.how) for holder in found]


def test_a_tree_that_nobody_has_open_is_held_by_nobody(tree, loop):
    assert held(tree, loop) == []


def test_a_place_that_is_not_there_is_held_by_nobody(tmp_path):
    """A folder that is no mount point would otherwise be held by all that use the file system it is in."""
    (tmp_path / "file").touch()
    with (tmp_path / "file").open():
        assert held(tmp_path, tmp_path / "nothing", "/dev/no-such-device") == []


def test_an_open_file_is_found_through_the_mount_and_through_the_device(tree, loop, start):
    process = start("sh", "-c", f"exec 7<'{tree}/file'{SAY_READY}")
    assert held(tree) == [("sh", process.pid, "open file")]
    assert held(loop) == [(str(tree), 0, "mounted there, too"), ("sh", process.pid, "open file")]


def test_a_shell_with_its_working_folder_there_is_found(tree, start):
    process = start("sh", "-c", f"true{SAY_READY}", cwd=tree)
    assert held(tree) == [("sh", process.pid, "working folder")]


def test_a_program_with_its_root_there_is_found(tree, start):
    script = f"import os; os.chroot({str(tree)!r}); os.write(1, b'ready\\n'); os.read(0, 1)"
    process = start(sys.executable, "-c", script, cwd="/")
    assert (process.pid, "root folder") in [(pid, how) for _, pid, how in held(tree)]


def test_a_mapped_file_is_found(tree, start):
    script = (
        f"import mmap, os; file = open({str(tree / 'file')!r}); m = mmap.mmap(file.fileno(), 0, prot=1); "
    )
    process = start(sys.executable, "-c", script + "os.write(1, b'ready\\n'); os.read(0, 1)")
    assert (process.pid, "mapped file") in [(pid, how) for _, pid, how in held(tree)]


def test_a_mount_that_is_left_only_in_a_containers_namespace_is_found(loop, tmp_path, start):
    """fuser(1) and lsof(8) do not see it: no process has a file of it open."""
    folder = tmp_path / "tree"
    folder.mkdir()
    subprocess.run(["mount", loop, folder], check=True)
    process = start("unshare", "--mount", "--propagation", "private", "sh", "-c", f"true{SAY_READY}")
    subprocess.run(["umount", folder], check=True)
    assert held(loop) == [("sh", process.pid, f"mounted at {folder} in its mount namespace")]


def test_a_mount_in_another_namespace_that_goes_with_ours_is_none(loop, tmp_path, start):
    """A service with a namespace of its own gets every mount of the host's, and loses it with the host."""
    above, folder = tmp_path / "above", tmp_path / "above" / "tree"
    above.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", above], check=True)
    subprocess.run(["mount", "--make-shared", above], check=True)
    folder.mkdir()
    subprocess.run(["mount", loop, folder], check=True)
    process = start("unshare", "--mount", "--propagation", "slave", "sh", "-c", f"true{SAY_READY}")
    try:
        assert str(folder) in Path(f"/proc/{process.pid}/mountinfo").read_text()
        assert held(folder) == []
        subprocess.run(["umount", folder], check=True)
        assert str(folder) not in Path(f"/proc/{process.pid}/mountinfo").read_text()
    finally:
        subprocess.run(["umount", "--recursive", above], check=True)


def test_a_strangers_mount_with_any_white_space_in_its_name_hides_nobody(tree, tmp_path, start):
    """The kernel escapes few of such characters, and in a user namespace of their own anybody can mount."""
    odd = tmp_path / "a\fb\x85c\u2028d\u00a0e"
    odd.mkdir()
    mount = f"mount -t tmpfs -o size=1M none '{odd}'"
    start("unshare", "--mount", "--propagation", "private", "sh", "-c", f"{mount}{SAY_READY}")
    process = start("sh", "-c", f"true{SAY_READY}", cwd=tree)
    assert ("sh", process.pid, "working folder") in held(tree)


def test_another_mount_of_the_same_file_system_is_found(tree, tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    subprocess.run(["mount", "--bind", tree, copy], check=True)
    try:
        assert held(tree) == [(str(copy), 0, "mounted there, too")]
        assert held(tree, copy) == [], "a place that is ours keeps none of ours open"
    finally:
        subprocess.run(["umount", copy], check=True)


def test_a_loop_device_on_a_file_in_the_tree_is_found(tree):
    inner = subprocess.run(
        ["losetup", "--find", "--show", tree / "inner.img"], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        assert (inner, 0, "loop device on it") in held(tree)
        assert held(tree, inner) == []
    finally:
        subprocess.run(["losetup", "--detach", inner], check=True)


def test_a_reader_of_the_device_itself_is_found(loop, start):
    process = start("sh", "-c", f"exec 7<{loop}{SAY_READY}")
    assert held(loop) == [("sh", process.pid, "open file")]


def test_whoever_reads_on_after_a_lazy_unmount_is_found_through_the_device(loop, tmp_path, start):
    folder = tmp_path / "tree"
    folder.mkdir()
    subprocess.run(["mount", loop, folder], check=True)
    process = start("sh", "-c", f"exec 7<'{folder}/file'{SAY_READY}")
    subprocess.run(["umount", "--lazy", folder], check=True)
    assert held(loop) == [("sh", process.pid, "open file")]


def test_a_pause_ends_with_a_process(start):
    process = start("sh", "-c", f"true{SAY_READY}")
    threading.Timer(0.1, end, [process]).start()
    assert RealHost().pause(60, until=[os.getpid(), process.pid]) < 60


def test_a_pause_for_a_process_that_has_gone_ends_at_once():
    assert RealHost().pause(60, until=[2**22 - 1]) < 60


# The whole of it, on the command line


@pytest.fixture
def exposed(site, new_disk) -> Path:
    """A guest's tree, between ``pre`` and ``post``."""
    site.back_up(new_disk().path)
    done = site.call("pre", "nightly")
    assert done.returncode == 0, done.stderr
    return site.trees / "nightly" / "web"


def test_release_waits_for_whoever_reads_and_goes_on_when_he_has_gone(site, exposed, host_state, start):
    reader = start("sh", "-c", f"true{SAY_READY}", cwd=exposed)
    post = subprocess.Popen(site.argv("post", "nightly", "--strict"), env=site.environment)
    kept = f"sh (pid {reader.pid}, working folder) at {exposed}"
    while kept not in site.call("held").stdout:
        assert post.poll() is None
    end(reader)
    assert post.wait(90) == 0
    assert host_state()["mounts"] == host_state()["loops"] == []
    assert site.held() == []


def test_who_keeps_it_open_is_told_when_the_time_is_over(site, new_disk, host_state, start):
    before = host_state()
    site.back_up(new_disk().path)
    site.configure(site.config.read_text() + "    release-within: 0.2s\n")
    assert site.call("pre", "nightly").returncode == 0
    tree = site.trees / "nightly" / "web"
    reader = start("sh", "-c", f"exec 7<'{tree}/etc/hostname'{SAY_READY}")
    done = site.call("post", "nightly", "--strict", "--json")
    kept = f"sh (pid {reader.pid}, open file) at {tree}"
    assert done.returncode == 81
    assert kept in done.stderr
    assert f"kept open, when last looked at, by {kept}" in site.call("held").stdout
    assert site.held()[0]["kept_open_by"] == [kept]
    end(reader)
    assert site.call("recover").returncode == 0
    assert host_state() == before


def test_an_unmount_that_may_be_lazy_takes_the_path_away_and_waits_for_the_device(
    site, new_disk, host_state, start
):
    before = host_state()
    site.back_up(new_disk().path, open="[partitions, guest-lv, mount: {lazy: true}]")
    assert site.call("pre", "nightly").returncode == 0
    tree = site.trees / "nightly" / "web"
    reader = start("sh", "-c", f"exec 7<'{tree}/etc/hostname'{SAY_READY}")
    post = subprocess.Popen(site.argv("post", "nightly", "--strict"), env=site.environment)
    while f"sh (pid {reader.pid}, open file) at /dev/loop" not in site.call("held").stdout:
        assert post.poll() is None
    assert not tree.exists()
    assert post.poll() is None, "the device is in use, so nothing is over"
    end(reader)
    assert post.wait(90) == 0
    assert host_state() == before
