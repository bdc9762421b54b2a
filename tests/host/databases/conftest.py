"""What the tests with real database servers share: a volume of this host's, a client that writes, and a restore."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ..callers.gate import eventually
from ..conftest import MIB, Site
from ..file_system import unmount


@dataclass
class Volume:
    """A file system of this host in an image that can be cloned: it stands for a logical volume."""

    image: Path
    folder: Path


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Volume]:
    """A volume with nothing on it, that other users can reach."""
    place = tmp_path_factory.mktemp("volume")
    with mounted(place / "xfs.img", place / "xfs", "mkfs.xfs", "-q", size=768 * MIB), open_folder() as folder:
        image = place / "xfs" / "database.img"
        with mounted(image, folder / "database", "mkfs.ext4", "-q", "-F", size=384 * MIB):
            yield Volume(image, folder / "database")


@contextmanager
def mounted(image: Path, folder: Path, *mkfs: str, size: int) -> Iterator[None]:
    """Make a file system in an image, and mount it."""
    folder.mkdir()
    image.touch()
    os.truncate(image, size)
    subprocess.run([*mkfs, image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield
    finally:
        unmount(folder)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, unlike pytest's."""
    folder = Path(tempfile.mkdtemp(prefix="holdstill-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@dataclass
class Writer:
    """A client that writes one number after the other, all the time, and knows which the server has confirmed."""

    argv: list[str]
    statement: str
    "With ``{0}`` in the number's place; it is answered with one line."
    environment: dict[str, str] = field(default_factory=dict)
    confirmed: int = 0
    asked: int = 0

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._write)

    def __enter__(self) -> Writer:
        self._thread.start()
        eventually(lambda: self.confirmed > 10)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _write(self) -> None:
        client = subprocess.Popen(
            self.argv,
            env=os.environ | self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        assert client.stdin
        assert client.stdout
        while not self._stop.is_set():
            self.asked += 1
            client.stdin.write(self.statement.format(self.asked) + "\n")
            if not client.stdout.readline():
                break
            self.confirmed = self.asked
        client.stdin.close()
        client.wait()
        client.stdout.close()


@dataclass
class Job:
    """The job ``nightly`` on a volume with a server on it, which quiesces it and archives its files."""

    site: Site
    volume: Volume
    folder: Path

    def configure(self, *quiesce: str) -> None:
        """Configure it; where ``gate`` is among the steps, the run waits for :meth:`go_on`.

        Where ``sync`` is, it has written what is in memory of the file system, as suspending a logical volume does.
        """
        ours = {"gate": self._gate, "sync": f"coprocess: {{run: {self._sync}}}"}
        steps = ", ".join(ours.get(step, step) for step in quiesce)
        self.site.configure(
            "guests:\n  db:\n"
            f"    disks: [{self.volume.image}]\n"
            "    mounted-here: true\n"
            "    snapshot: {image: {clone: true}}\n"
            f"    quiesce: [{steps}]\n"
            "    open: [partitions, {mount: {root: disk1, beneath: {}}}]\n"
            f"jobs:\n  nightly:\n    guests: [db]\n    backup: {{tar: {{to: {self.site.archives}}}}}\n"
        )

    @property
    def _gate(self) -> str:
        script = self.folder / "gate"
        script.write_text(
            f"#!/bin/sh\ntouch {self.folder}/reached\n"
            f"until test -e {self.folder}/go; do sleep 0.01; done\necho ready\ncat\ntouch {self.folder}/left\n"
        )
        script.chmod(0o755)
        return f"coprocess: {{run: {script}, within: 10m, at-most: 10m}}"

    @property
    def _sync(self) -> list[str]:
        return ["sh", "-c", f"sync --file-system {self.volume.folder} && echo synced && cat"]

    def start(self) -> subprocess.Popen[str]:
        """Start a run, which waits at its gate."""
        return subprocess.Popen(
            self.site.argv("run", "nightly", "--json"),
            env=self.site.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_at_the_gate(self) -> None:
        """Wait until a run waits there."""
        eventually((self.folder / "reached").exists)

    def go_on(self) -> None:
        """Let it go on."""
        (self.folder / "go").touch()

    def kill(self, point: str, step: str, server: Callable[[], int]) -> None:
        """Kill a run: before it makes a server quiet, while that is quiet, or while it lets go and the server hangs."""
        self.configure(*(["gate", step] if point == "before" else [step, "gate"]))
        process = self.start()
        self.wait_at_the_gate()
        with stopped(server()) if point == "letting go" else nullcontext():
            if point == "letting go":
                self.go_on()
                eventually((self.folder / "left").exists)
            process.kill()
            process.communicate()
        self.go_on()

    def kill_once(self, condition: Callable[[], object]) -> None:
        """Kill a run as soon as a condition holds; one that ends before that is seen is started anew."""
        process = self.start()
        while not condition():
            if process.poll() is not None:
                process.communicate()
                process = self.start()
        process.kill()
        process.communicate()

    def run(self) -> str:
        """Do a run, which must be good; give what it printed."""
        done = self.site.call("run", "nightly", "--json")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def restored(self, folder: Path) -> Path:
        """Restore the archive into a folder."""
        [archive] = (self.site.archives / "nightly").glob("*.tar.zst")
        subprocess.run(["tar", "--extract", "--file", archive, "--directory", folder], check=True)
        return folder

    def kept(self, name: str) -> str:
        """Read what was kept beside the archive."""
        [kept] = (self.site.archives / "nightly").glob(f"*.{name}")
        return kept.read_text()


@pytest.fixture
def job(site: Site, volume: Volume, tmp_path: Path) -> Job:
    """A job on the volume."""
    folder = tmp_path / "gate-folder"
    folder.mkdir()
    return Job(site, volume, folder)


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for what is restored."""
    with open_folder() as folder:
        yield folder


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Have a process hang."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@contextmanager
def daemon(*argv: str | Path, ready: Callable[[], bool], log: Path) -> Iterator[int]:
    """Have a server running in the foreground, and kill it in the end; give its process."""
    process = subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        eventually(lambda: process.poll() is not None or ready())
        assert process.poll() is None, log.read_text()[-2000:]
        yield process.pid
    finally:
        process.kill()
        process.wait()


def own(folder: Path, user: str) -> Path:
    """Give a folder, new or not, to a user."""
    folder.mkdir(exist_ok=True)
    entry = pwd.getpwnam(user)
    os.chown(folder, entry.pw_uid, entry.pw_gid)
    return folder
