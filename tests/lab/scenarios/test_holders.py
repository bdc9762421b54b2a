"""Who keeps a guest's tree open is found, named and waited for on real LVM, down to the snapshot."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .guest_disk import GuestDisk
from .installed import Site, host_state
from .system import wait_until

pytestmark = pytest.mark.usefixtures("udev_rule")
UNTIL_TOLD = "; echo ready; read -r _"


@contextmanager
def process(*argv: str, folder: Path | None = None) -> Iterator[subprocess.Popen[str]]:
    """Have a program that says that it is ready, and ends when the ``with`` is left."""
    with subprocess.Popen(
        argv, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as started:
        assert started.stdout
        assert started.stdout.readline() == "ready\n"
        yield started
        assert started.stdin
        started.stdin.close()


def test_release_names_them_and_goes_on_when_the_last_one_has_gone(site: Site, guest_disk: GuestDisk) -> None:
    site.configure(guest_disk.path)
    site.write(
        site.config.read_text() + "    release-within: 30m\n"
    )  # asking who it is takes long in emulation
    before = host_state()
    site.call("pre", "nightly")
    tree = site.tree
    with (
        process("sh", "-c", f"exec 7<'{tree}/etc/hostname'{UNTIL_TOLD}") as reader,
        process("sh", "-c", f"true{UNTIL_TOLD}", folder=tree / "boot") as shell,
        process(
            "unshare", "--mount", "--propagation", "private", "sh", "-c", f"true{UNTIL_TOLD}"
        ) as container,
    ):
        named = [
            f"sh (pid {reader.pid}, open file) at {tree}",
            f"sh (pid {shell.pid}, working folder) at {tree}/boot",
        ]
        with subprocess.Popen(site.argv("post", "nightly", "--strict")) as post:
            wait_until(lambda: all(name in site.call("held") for name in named), "both are named")
            for process_ in (reader, shell):
                assert process_.stdin
                process_.stdin.close()
                process_.wait()
            left = f"sh (pid {container.pid}, mounted at {tree} in its mount namespace)"
            wait_until(lambda: left in site.call("held"), "the mount that is left in a container is named")
            assert post.poll() is None
            assert container.stdin
            container.stdin.close()
            assert post.wait(600) == 0
    assert host_state() == before
