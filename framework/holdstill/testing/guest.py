"""A guest at work: it has its disk's root file system mounted, as a running guest has, and keeps writing to it.

For demonstrations and for tests on a real host, as root. What is copied from under it must be of one
moment, and not older than what it had been told is safe::

    with BusyGuest(disk) as guest:
        guest.wait_for(100)
        before = guest.written
        …  # a snapshot
    found = counters_in(tree)  # where the snapshot is mounted
    assert found.of_one_moment and found >= before

The guest is a process of its own, in a mount namespace of its own: the host's mount table never shows
its mounts, just as it would not show a virtual machine's. Its loop devices let go by themselves with
its last mount, so that nothing is left of it even when it is killed. It ends when we do.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

if TYPE_CHECKING:
    from types import TracebackType

    from holdstill.testing.disks import GuestDisk

WORK = "var/lib/busy"
"Where in its root file system the guest writes: a file for each counter, and ``log``."
NAMES = ("first", "second")
LIMIT = 120.0
"Seconds that it has for what it is waited for: where others write, too, an fsync takes its time."


class Counters(NamedTuple):
    """How far the guest has come. It counts the first up, then the second, each made safe with fsync."""

    first: int
    second: int

    @property
    def of_one_moment(self) -> bool:
        """Whether the two can have been true together."""
        return 0 <= self.first - self.second <= 1


class BusyGuest:
    """Runs the guest while it is entered.

    With one disk both counters and the log are on it. With two, the first counter and the log are on the
    first disk, the second counter on the second: snapshots of the two that are not of one moment show.
    """

    def __init__(self, *disks: GuestDisk, pause: float = 0.001) -> None:
        """Take the guest's disks, and the time in seconds that it rests between two turns."""
        self._disks = disks
        self._pause = pause
        self._folder = Path()
        self._board: memoryview[int] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def written(self) -> Counters:
        """What it has made safe so far; after the end, what it had made safe at last."""
        if self._board is None:
            raise RuntimeError("The guest has not been started: enter it with «with».")
        return Counters(self._board[0], self._board[1])

    def wait_for(self, turns: int, within: float = LIMIT) -> Counters:
        """Wait until it has done so many turns more. Raises TimeoutError, or RuntimeError if it has died."""
        wanted = self.written.second + turns
        deadline = time.monotonic() + within
        while self.written.second < wanted:
            self._must_live()
            if time.monotonic() > deadline:
                raise TimeoutError(f"The guest did not do {turns} turns within {within:g} s.")
            time.sleep(0.005)
        return self.written

    def __enter__(self) -> BusyGuest:
        self._folder = Path(tempfile.mkdtemp(prefix="busy-guest-"))
        self._board = _board(self._folder / "board", create=True)
        places = [f"{disk.root.start}:{disk.root.size}:{disk.path.absolute()}" for disk in self._disks]
        # By file, and isolated: the guest needs nothing that is installed, and starts faster.
        argv = [sys.executable, "-I", __file__, str(self._folder), str(self._pause), *places]
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "--", *argv],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for us; the guest hears of it when its input ends
        )
        try:
            self.wait_for(1)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        said = self._stop()
        if error is None and self._process is not None and self._process.returncode:
            raise RuntimeError(f"The guest did not come to a good end: {said}")

    def _stop(self) -> str:
        """Let it end, by force if it does not in time, and give what it said."""
        if self._process is None:
            return ""
        try:
            _, said = self._process.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
        _remove(self._folder)
        return said.decode(errors="replace").strip() or "it said nothing"

    def _must_live(self) -> None:
        if self._process is not None and self._process.poll() is not None:
            raise RuntimeError(f"The guest has died: {self._stop()}")


def counters_in(tree: Path, other: Path | None = None) -> Counters:
    """Read the counters in the root file system mounted at ``tree`` (and ``other``, for two disks).

    Raises ValueError if they do not fit the log: each turn is in the log before it is counted.
    """
    trees = (tree, other or tree)
    found = Counters(
        *(int((at / WORK / name).read_text() or 0) for at, name in zip(trees, NAMES, strict=True))
    )
    log = (tree / WORK / "log").read_bytes().split(b"\n")[:-1]
    if len(log) not in {found.first, found.first + 1} or any(
        int(line) != turn for turn, line in enumerate(log, 1)
    ):
        raise ValueError(f"The log in {tree} has {len(log)} lines, the counter says {found.first}.")
    return found


def _board(path: Path, *, create: bool = False) -> memoryview[int]:
    """Open the two numbers that guest and host share. Each is written and read in one piece."""
    with path.open("x+b" if create else "r+b") as file:
        file.truncate(2 * 8)
        return memoryview(mmap.mmap(file.fileno(), 2 * 8)).cast("Q")


def _remove(folder: Path) -> None:
    """Remove the guest's folder: mount points are removed only if empty, so never what is mounted there."""
    with contextlib.suppress(OSError):
        (folder / "board").unlink(missing_ok=True)
        for place in folder.iterdir():
            place.rmdir()
        folder.rmdir()


# From here on: the guest's own process


@contextlib.contextmanager
def _mounted(disk: str, place: Path) -> Iterator[None]:
    start, size, path = disk.split(":", 2)
    place.mkdir()
    loop = _do("losetup", "--find", "--show", "--offset", start, "--sizelimit", size, path)
    try:
        _do("mount", "-t", "ext4", loop, str(place))
    finally:
        # While it is mounted this only says: let go with the last user.
        _do("losetup", "--detach", loop)
    try:
        yield
    finally:
        _do("umount", str(place))


def _do(*argv: str) -> str:
    env = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"}
    done = subprocess.run(
        argv, capture_output=True, text=True, env=env, check=False, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        sys.exit(f"«{' '.join(argv)}» failed: {done.stderr.strip()}")
    return done.stdout.strip()


def _work(places: Sequence[Path], board: memoryview[int], pause: float) -> None:
    """Write until our input ends. A guest that was started before goes on from there."""
    with contextlib.ExitStack() as files:
        log, *counters = (files.enter_context(_opened(file)) for file in _files(places))
        turn = os.pread(log, os.fstat(log).st_size, 0).count(b"\n")
        while True:
            for number, counter in enumerate(counters):
                _write(counter, b"%020d\n" % turn, 0)
                board[number] = turn
            if _input_ends(pause):
                return
            turn += 1
            _write(log, b"%d\n" % turn, os.fstat(log).st_size)


def _files(places: Sequence[Path]) -> list[Path]:
    for place in places:
        (place / WORK).mkdir(parents=True, exist_ok=True)
    return [places[0] / WORK / "log", places[0] / WORK / NAMES[0], places[-1] / WORK / NAMES[1]]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        yield file
    finally:
        os.close(file)


def _write(file: int, content: bytes, at: int) -> None:
    """Write and make safe."""
    os.pwrite(file, content, at)
    os.fsync(file)


def _input_ends(seconds: float) -> bool:
    """Wait so long for the end of our input: it ends with the process that started us, however that ends."""
    return bool(select.select([0], [], [], seconds)[0])


def _asked_to_stop(number: int, _frame: object) -> NoReturn:
    sys.exit(128 + number)


def main(folder: str, pause: str, *disks: str) -> None:
    """Be the guest. Each disk is written START:SIZE:PATH, in bytes."""
    signal.signal(signal.SIGTERM, _asked_to_stop)
    places = [Path(folder, f"root{number}") for number in range(len(disks))]
    try:
        with contextlib.ExitStack() as mounts:
            for disk, place in zip(disks, places, strict=True):
                mounts.enter_context(_mounted(disk, place))
            _work(places, _board(Path(folder, "board")), float(pause))
    finally:
        _remove(Path(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
