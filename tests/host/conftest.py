"""What tests on the real host need: root, loop devices, and guest disks with something on them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest

from holdstill.testing.disks import GuestDisk, make_guest_disk
from holdstill.testing.trees import fstab, populate

from .file_system import FileSystem, unmount
from .scene import Scene

MIB = 1 << 20


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without root there is nothing to attach or to mount: say so for each test."""
    if os.geteuid() != 0:
        for item in items:
            if "host" in Path(item.fspath).parts:
                item.add_marker(
                    pytest.mark.skip(reason="needs root, for loop devices and mounts: run as root")
                )


@dataclass
class Site:
    """Folders of a holdstill of its own, and its command line."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = self.folder / "site.yaml"
        self.archives = self.folder / "archives"
        self.archives.mkdir()
        self.trees = self.folder / "trees"
        places = {
            "CONFIG": self.config,
            "STATE": self.folder / "state",
            "TREES": self.trees,
            "PLUGINS": self.folder / "plugins",
        }
        self.environment = os.environ | {f"HOLDSTILL_{name}": str(path) for name, path in places.items()}

    def configure(self, text: str) -> None:
        """Write the configuration."""
        self.config.write_text(text)
        self.config.chmod(0o600)

    def back_up(self, disk: Path, **steps: str) -> None:
        """Configure the job ``nightly``, that archives the guest ``web`` with this disk."""
        more = "".join(f"    {role}: {step}\n" for role, step in steps.items())
        self.configure(
            f"guests:\n  web:\n    disks: [{disk}]\n{more}"
            f"jobs:\n  nightly:\n    guests: [web]\n    backup: {{tar: {{to: {self.archives}}}}}\n"
        )

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run holdstill."""
        return subprocess.run(
            self.argv(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def argv(self, *arguments: str) -> list[str]:
        """The words of a holdstill command."""
        return [sys.executable, "-m", "holdstill", *arguments]

    def held(self) -> list[dict[str, object]]:
        """What is held."""
        found: list[dict[str, object]] = json.loads(self.call("held", "--json").stdout)
        return found


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A holdstill with nothing configured."""
    return Site(tmp_path)


@pytest.fixture(scope="session")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a guest: ``root`` and ``boot``."""
    folder = tmp_path_factory.mktemp("trees")
    populate(folder / "root", files=200, name="web", table=fstab("web", volumes=("root", "swap")))
    (folder / "boot").mkdir()
    (folder / "boot" / "vmlinuz").write_bytes(b"kernel" * 1000)
    return folder


@pytest.fixture
def new_disk(tmp_path: Path, trees: Path) -> Callable[..., GuestDisk]:
    """Make a guest's disk: ``new_disk(layout="gpt", lvm=False)``."""

    def make(folder: Path = tmp_path, **how: object) -> GuestDisk:
        return make_guest_disk(
            folder / "web.img", tree=trees / "root", boot=trees / "boot", size=64 * MIB, name="web", **how
        )

    return make


@pytest.fixture
def disk(new_disk: Callable[..., GuestDisk]) -> Path:
    """A guest's disk."""
    return new_disk().path


@pytest.fixture
def scene(site: Site, tmp_path: Path) -> Scene:
    """A job with applications to be made quiet."""
    folder = tmp_path / "application-folder"
    folder.mkdir()
    return Scene(site, folder)


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[FileSystem]:
    """A file system that is mounted on this host."""
    made = FileSystem(tmp_path)
    yield made
    made.unmount()


@pytest.fixture
def cloning_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system that can clone files."""
    image, folder = tmp_path / "xfs.img", tmp_path / "xfs"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(512 * MIB)
    subprocess.run(["mkfs.xfs", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    yield folder
    unmount(folder)


@pytest.fixture
def host_state(tmp_path: Path) -> Callable[[], dict[str, list[str]]]:
    """Tell the mounts and loop devices in this test's folder, and the files beside the disks."""

    def look() -> dict[str, list[str]]:
        loops = subprocess.run(
            ["losetup", "--raw", "--noheadings", "--list", "--output", "NAME,OFFSET,BACK-FILE"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        mine = str(tmp_path)
        paths = everything_in(tmp_path)
        return {
            "mounts": sorted(line.split(" ", 5)[4] for line in mounts if mine in line),
            "loops": sorted(line for line in loops if mine in line),
            "copies": [path for path in paths if fnmatch(Path(path).name, ".*.holdstill-*")],
            "trees": [path for path in paths if path.startswith(f"{tmp_path}/trees/")],
            "unfinished": [path for path in paths if path.endswith(".partial")],
        }

    return look


def everything_in(folder: Path) -> list[str]:
    """Find what is beneath a folder; os.walk passes over what goes away meanwhile, as trees do that are let go of."""
    walk = os.walk(folder)
    return sorted(f"{at}/{name}" for at, folders, files in walk for name in (*folders, *files))
