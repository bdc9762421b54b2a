"""A guest of Xen that writes to its disk all the time: its files, its life, and what it says on its console."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from ..system import attempt, run, wait_until

INIT = Path(__file__).with_name("init.sh")
ATTACH = Path(__file__).with_name("attach.sh")
FSTAB = "/dev/vg_guest1/root / ext4 defaults 0 1\n/dev/xvda1 /boot ext3 defaults 0 2\n"
MARKER = "the files of partition 1"
CONFIGURATION = """\
name = "{name}"
memory = 256
kernel = "/boot/vmlinuz-{release}"
ramdisk = "/boot/initrd.img-{release}"
extra = "root=/dev/mapper/vg_guest1-root rw console=hvc0 init=/sbin/init panic=-1"
disk = ["vdev=xvda, access=w, script={attach}, target={disk}"]
on_crash = "destroy"
on_reboot = "destroy"
"""
WROTE = re.compile(r"^guest: wrote (\d+) after (\d+) cs\r?$", re.MULTILINE)


def fill(tree: Path) -> None:
    """Write the guest's files: a kernel is not among them, Xen gives it the host's."""
    for folder in ("bin", "boot", "dev", "etc", "proc", "run", "sbin", "sys", "var"):
        (tree / folder).mkdir(exist_ok=True)
    shutil.copy("/bin/busybox", tree / "bin")
    shutil.copy(INIT, tree / "sbin/init")
    (tree / "sbin/init").chmod(0o755)
    (tree / "etc/fstab").write_text(FSTAB)
    (tree / "boot/marker").write_text(f"{MARKER}\n")
    (tree / "var/record").write_text("0\n")


def counter_of(record: bytes) -> int:
    """Return the counter in a record of the guest's, which is whole."""
    content, told = record.splitlines()
    assert told.split()[0].decode() == sha256(content + b"\n").hexdigest()
    return int(content.split()[0])


@dataclass(frozen=True)
class Record:
    """What the guest reports of one record: it is on the disk, and writing it took so many seconds."""

    counter: int
    after: float


class Guest:
    """A guest that runs."""

    def __init__(self, name: str, disk: Path, console: Path) -> None:
        self.name = name
        self.disk = disk
        self._console = console

    def said(self) -> str:
        """Return all that the guest wrote to its console."""
        return self._console.read_text(errors="replace")

    def records(self) -> list[Record]:
        """Return what it reported so far, the first record first."""
        return [Record(int(counter), int(after) / 100) for counter, after in WROTE.findall(self.said())]

    def wait_for_records(self, count: int) -> None:
        """Wait until it has reported ``count`` more."""
        wanted = len(self.records()) + count
        wait_until(lambda: len(self.records()) >= wanted, f"{self.name} reports {count} records")


@contextmanager
def running(name: str, disk: Path, folder: Path) -> Iterator[Guest]:
    """Start a guest from ``disk``, follow its console, and end it without ceremony."""
    configuration, console = folder / f"{name}.cfg", folder / f"{name}.console"
    words = {"name": name, "disk": disk, "attach": ATTACH, "release": os.uname().release}
    configuration.write_text(CONFIGURATION.format_map(words))
    _create(configuration)
    try:
        with _followed(name, console):
            yield Guest(name, disk, console)
    finally:
        run("xl", "destroy", name)
        # Shown with a test that failed.
        print(console.read_text(errors="replace")[-4000:])


def _create(configuration: Path) -> None:
    """Start a guest; try again where libxl found its script too slow to attach the disk: all is slow in emulation."""
    for _ in range(4):
        if not attempt("xl", "create", configuration).returncode:
            return
    run("xl", "create", configuration)


@contextmanager
def _followed(name: str, console: Path) -> Iterator[None]:
    # It ends when there is nobody to type any more.
    argv = ["xl", "console", name]
    with console.open("wb") as log, subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=log) as follower:
        try:
            yield
        finally:
            follower.terminate()
