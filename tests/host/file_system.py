"""A file system of this host, of which a test can tell whether it is frozen without waiting for it."""

from __future__ import annotations

import subprocess
import time
from functools import partial

from .scene import eventually

MIB = 1 << 20
TICK = 20_000_000
"Nanoseconds; longer than a file's times can lag behind the clock."


def unmount(path):
    """Unmount, as soon as those have let go of it who are about to end."""
    umount = partial(subprocess.run, ["umount", path], check=False)
    assert eventually(lambda: umount().returncode == 0)


class FileSystem:
    """A file system in a file, mounted. A file that is read gets a new time, unless nothing may be written."""

    def __init__(self, folder, name="data", size=16 * MIB):
        self.path = folder / name
        self.path.mkdir()
        self.image = folder / f"{name}.img"
        with self.image.open("wb") as file:
            file.truncate(size)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True)
        subprocess.run(["mount", "-o", "loop,strictatime", self.image, self.path], check=True)
        (self.path / "read").write_text("read me")

    @property
    def frozen(self):
        file = self.path / "read"
        before = file.stat().st_atime_ns
        while time.time_ns() < before + TICK:
            time.sleep(0.001)
        file.read_text()
        return file.stat().st_atime_ns == before

    def freeze(self):
        subprocess.run(["fsfreeze", "--freeze", self.path], check=True)

    def thaw(self):
        subprocess.run(["fsfreeze", "--unfreeze", self.path], check=True)

    def unmount(self):
        subprocess.run(["fsfreeze", "--unfreeze", self.path], check=False, stderr=subprocess.DEVNULL)
        unmount(self.path)

    def step(self, more=""):
        return f"fsfreeze: {{path: {self.path}{more}}}"
