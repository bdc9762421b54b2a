"""What the tests of backup software share: a guest that it backs up, and what must be true when it has ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdstill.host.real import RealHost

from ..compared import assert_has_the_guests_files
from ..conftest import Site
from ..processes import name, processes_with
from .gate import LIMIT, eventually

MIB = 1 << 20


def executable(path: Path, text: str) -> Path:
    """Write a program."""
    path.write_text(text)
    path.chmod(0o755)
    return path


def told_of_the_backup(folder: Path) -> str:
    """Give what the figures for Prometheus in a folder tell that the caller has said of its backup."""
    path = folder / "holdstill_nightly.prom"
    figures = path.read_text() if path.exists() else ""
    return "".join(re.findall('last_run_caller_verdict{.*verdict="(.*)"} 1', figures))


@dataclass
class Guest:
    """The guest ``web``, that the job ``nightly`` holds for backup software to read."""

    site: Site
    disk: Path
    files: Path
    look: Callable[[], dict[str, list[str]]]
    stack: ExitStack

    def __post_init__(self) -> None:
        self.configure()
        self.environment = self.site.environment | {"HOME": str(self.site.folder)}
        self.before = self.look()

    def configure(self, more: str = "") -> None:
        """Configure the job; ``more`` is what it has besides its guest."""
        self.site.configure(
            f"guests:\n  web:\n    disks: [{self.disk}]\njobs:\n  nightly:\n    guests: [web]\n{more}"
        )

    @property
    def trees(self) -> Path:
        """What the backup software backs up."""
        return self.site.trees / "nightly"

    @property
    def tree(self) -> Path:
        """The guest's files."""
        return self.trees / "web"

    def snippet(self, name: str, file: str) -> str:
        """What ``holdstill caller NAME nightly`` prints for a file."""
        done = self.site.call("caller", name, "nightly", "--file", file)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def in_our_folder(self, name: str, file: str) -> str:
        """The same, with what it names elsewhere in the folder of this test."""
        return re.sub("/srv/|/root/|/var/", f"{self.site.folder}/", self.snippet(name, file))

    def run(self, *argv: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the backup software."""
        return subprocess.run(
            argv,
            env=self.environment | more,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )

    def start(self, *argv: str | Path, **more: str) -> subprocess.Popen[str]:
        """Start a program, as cron does: in a session of its own."""
        process = self.stack.enter_context(
            subprocess.Popen(
                argv,
                env=self.environment | more,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        )
        self.stack.callback(process.kill)
        return process

    def stop_while_it_is_read(
        self, process: subprocess.Popen[str], reader: str, *, all_of_it: bool = False
    ) -> str:
        """Send TERM when a program reads the guest's files; give what was printed until the end.

        ``all_of_it``: to what it has started, too, as systemd does.
        """
        eventually(lambda: self.is_read_by(reader) or process.poll() is not None)
        assert process.poll() is None, process.communicate()[0]
        os.killpg(process.pid, signal.SIGTERM) if all_of_it else process.terminate()
        return process.communicate(timeout=LIMIT)[0]

    def cannot_begin_twice(self, script: Path, reader: str) -> bool:
        """Begin a script again while it is at work, and then stop it."""
        process = self.start(script)
        eventually(lambda: self.is_read_by(reader) or process.poll() is not None)
        again = self.run(script)
        assert (again.returncode, again.stderr) == (75, f"{script} is at work already\n")
        assert self.tree.is_mount(), "the second one has let go of what the first one reads"
        self.stop_while_it_is_read(process, reader, all_of_it=True)
        return self.is_let_go_of()

    def is_read_by(self, program: str) -> bool:
        """Tell whether a program has something of the guest open, or has been told to read it: it may be done soon."""
        if any(name(pid) == program for pid in processes_with(str(self.trees))):
            return True
        found = RealHost().holders([str(self.tree)]) if self.tree.is_mount() else ()
        return program in {holder.name for holder in found}

    def break_disk(self) -> None:
        """Leave nothing on the disk that could be held: «pre» fails."""
        with self.disk.open("r+b") as disk:
            disk.write(bytes(MIB))

    def is_let_go_of(self) -> bool:
        """Tell whether the host is as it was."""
        return self.look() == self.before and self.site.held() == []

    def is_in(self, restored: Path) -> bool:
        """Compare what was restored with what was on the disk."""
        assert_has_the_guests_files(restored, self.files)
        return True


@pytest.fixture
def told(guest: Guest, tmp_path: Path) -> Callable[[], str]:
    """What holdstill tells a monitoring system that its caller has said of the backup."""
    guest.configure(f"    around: [prometheus: {{folder: {tmp_path}}}]\n")
    return lambda: told_of_the_backup(tmp_path)


@pytest.fixture
def guest(site, new_disk, trees, host_state) -> Iterator[Guest]:
    """A guest with a disk, and the job ``nightly`` that holds it."""
    with ExitStack() as stack:
        made = Guest(site, new_disk().path, trees, host_state, stack)
        yield made
    for held in site.held():  # by a test that has failed
        site.call("post", "nightly", "--session", str(held["session"]))
