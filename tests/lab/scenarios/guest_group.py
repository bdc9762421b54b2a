"""A guest's disk with its volume group on two partitions, made by LVM itself, as large as it must be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from .guest_disk import SECTOR, loop_on, mounted, new_volume, udev_kept_off_loops
from .system import run, wait_until

PARTITION = 100 * 2**20 // SECTOR
STARTS = (2048, 2048 + PARTITION)
TABLE = "label: dos\n" + "".join(f"start={start}, size={PARTITION}, type=8e\n" for start in STARTS)
SIZE = "208M"
CONTENT = b"".join(number.to_bytes(8, "big") for number in range(2**18))
"Two MiB, no two pieces of it alike."


@dataclass(frozen=True)
class Group:
    """A guest's volume group, while the guest runs."""

    name: str
    pvs: tuple[str, ...]

    def lvm(self, command: str, *words: str, pvs: tuple[str, ...] = ()) -> str:
        """Run one of LVM's commands, which sees the guest's physical volumes and no others."""
        return run(command, "--yes", "--devices", ",".join(pvs or self.pvs), *words)

    def create(self, name: str, *words: str) -> None:
        """Make a volume."""
        self.lvm("lvcreate", "--name", name, *words)

    def write(self, name: str, **files: bytes) -> None:
        """Make a file system on a volume; its root has an fstab that mounts all volumes in ``files``."""
        device = f"/dev/{self.name}/{name}"
        run("mkfs.ext4", "-q", device)
        self.change(name, **files)

    def change(self, name: str, **files: bytes) -> None:
        """Write files of a volume."""
        with TemporaryDirectory() as folder, mounted(f"/dev/{self.name}/{name}", Path(folder)) as tree:
            for file, content in files.items():
                (tree / file).write_bytes(content)

    def write_root(self, *beneath: str) -> None:
        """Make the root file system, which mounts other volumes at folders of their names."""
        self.write("root", hostname=self.name.encode())
        lines = [f"/dev/{self.name}/root / ext4 defaults 0 1"]
        lines += [f"/dev/{self.name}/{name} /{name} ext4 defaults 0 2" for name in beneath]
        with TemporaryDirectory() as folder, mounted(f"/dev/{self.name}/root", Path(folder)) as tree:
            for name in ("etc", *beneath):
                (tree / name).mkdir()
            (tree / "etc/fstab").write_text("\n".join(lines) + "\n")

    def settle(self, name: str) -> None:
        """Wait until a mirror's legs are alike."""
        asked = ("--noheadings", "--options", "sync_percent", f"{self.name}/{name}")
        wait_until(lambda: self.lvm("lvs", *asked).strip() == "100.00", f"{name} is in sync")


@contextmanager
def running_guest(disk: Path, group: str, *, new: bool = False, whole: bool = False) -> Iterator[Group]:
    """Give the guest's own view of its disk: its partitions (or the whole disk) as physical volumes."""
    with ExitStack() as stack:
        stack.enter_context(udev_kept_off_loops())
        windows = ((0, 0),) if whole else tuple((start, PARTITION) for start in STARTS)
        pvs = tuple(stack.enter_context(loop_on(disk, *window)) for window in windows)
        made = Group(group, pvs)
        if new:  # vgcreate refuses a name that it finds in /dev, so it is shown another folder
            made.lvm("vgcreate", "--config", 'devices{dir="/run"}', group, *pvs)
        stack.callback(lambda: made.lvm("vgchange", "--activate", "n", group))
        yield made
    run("blockdev", "--flushbufs", disk)


def make_guest(hostvg: str, name: str, group: str, fill: Callable[[Group], None]) -> Path:
    """Make a guest's disk with two partitions, and let ``fill`` make its volumes."""
    disk = new_volume(hostvg, name, SIZE)
    run("sfdisk", "--quiet", disk, text=TABLE)
    with running_guest(disk, group, new=True) as guest:
        fill(guest)
    return disk
