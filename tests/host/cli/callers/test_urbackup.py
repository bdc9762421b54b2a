"""UrBackup's client, by a double that does what its source says: it cannot be installed here.

It takes a command line from its snapshot.cfg, adds an id, the mount that a folder is on, the folder's name and the
folder, and has a shell run that with standard error in standard output, which it reads to the end. If that succeeds, a
line ``SNAPSHOT=…`` names what it reads in the place of the mount. If not, it logs what was said, and the backup fails
if the folder has the flag ``require_snapshot``; else it reads the folder itself, and fails if that is not there. A
snapshot that it has got, it has removed whatever becomes of the backup; how that ends fails nothing.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import pytest

from holdstill.callers import Given, hook_of
from holdstill.errors import UsageError

from .conftest import LIMIT, read


def mount_of(folder: str) -> str:
    """Give the longest mount point that the name of a folder begins with."""
    points = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    return max((point for point in points if folder.startswith(point)), key=len)


@dataclass
class UrBackup:
    """The client's side of a backup of files."""

    environment: dict[str, str]
    settings: dict[str, str]
    requires_snapshot: bool
    errors: list[str] = field(default_factory=list)
    "What its log calls errors."
    ids: list[str] = field(default_factory=list)

    def script(self, step: str, *words: str) -> tuple[int, list[str]]:
        line = f"{self.settings[f'{step}_filesystem_snapshot']} {shlex.join(words)} 2>&1"
        done = subprocess.run(
            ["sh", "-c", line],
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=False,
            timeout=LIMIT,
        )
        if done.returncode:
            self.errors += done.stdout.splitlines()
        return done.returncode, done.stdout.splitlines()

    def create(self, folder: Path) -> str:
        """Give what is to be read in the place of the mount; nothing if there is no snapshot."""
        self.ids.append(uuid4().hex)
        status, lines = self.script("create", self.ids[-1], mount_of(str(folder)), folder.name, str(folder))
        named = [line.removeprefix("SNAPSHOT=") for line in lines if line.startswith("SNAPSHOT=")]
        self.said = [line for line in lines if not line.startswith("SNAPSHOT=")]
        return "" if status or named[-1:] == ["none"] else named[-1]

    def remove(self, snapshot: str, folder: Path, target: str) -> int:
        return self.script("remove", self.ids[-1], snapshot, folder.name, target, mount_of(str(folder)))[0]

    def backup(self, folder: Path, *, fails: bool = False) -> dict[str, str] | None:
        """Give the files of a backup, or nothing if it failed."""
        mount, snapshot = mount_of(str(folder)), self.create(folder)
        target = f"{snapshot}/{str(folder).removeprefix(mount).lstrip('/')}" if snapshot else str(folder)
        if self.requires_snapshot and not snapshot:
            return None
        try:
            return None if fails else read(Path(target))
        except FileNotFoundError:
            self.errors.append(f"Cannot access path to backup: {folder}")
            return None
        finally:
            if snapshot:
                self.removed = self.remove(snapshot, folder, target)


def add_backupdir(script: str, into: Path) -> list[str]:
    """Run a script that calls ``urbackupclientctl``, as our page says; give that command's arguments."""
    program = into / "urbackupclientctl"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {into}/arguments\n')
    program.chmod(0o755)
    subprocess.run(
        ["sh", "-e"], input=script, text=True, env={"PATH": f"{into}:{os.environ['PATH']}"}, check=True
    )
    return (into / "arguments").read_text().splitlines()


@pytest.fixture
def printed(place) -> list[str]:
    """What our page has somebody type once."""
    script = place.run("caller", "urbackup", "nightly", "--file", "backupdir.sh").out
    return add_backupdir(script, place.root)


@pytest.fixture
def urbackup(place, printed) -> UrBackup:
    lines = place.run("caller", "urbackup", "nightly", "--file", "snapshot.cfg").out.splitlines()
    settings = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    return UrBackup(os.environ | place.environment, settings, "--require-snapshot" in printed)


@pytest.fixture
def folder(printed) -> Path:
    """What it backs up."""
    return Path(printed[printed.index("--path") + 1])


@pytest.mark.usefixtures("lingering")
def test_it_backs_up_what_is_held_and_lets_go_of_it(place, urbackup, folder):
    files = urbackup.backup(folder)
    assert files is not None
    assert files["web/disk1"] == "the guest's data"
    assert (urbackup.removed, urbackup.said, urbackup.errors) == (0, [], [])
    assert place.left() == []


@pytest.mark.parametrize("flag", [True, False])
def test_if_a_guest_cannot_be_held_its_backup_fails_whatever_its_flags(place, urbackup, folder, flag):
    place.disk.unlink()
    urbackup.requires_snapshot = flag
    assert urbackup.backup(folder) is None
    reason, *missing = urbackup.errors
    assert reason.startswith("holdstill: ")
    assert missing == ([] if flag else [f"Cannot access path to backup: {folder}"])
    assert place.left() == []


def test_a_backup_that_fails_or_is_stopped_lets_go_all_the_same(place, urbackup, folder):
    assert urbackup.backup(folder, fails=True) is None
    assert urbackup.removed == 0
    assert place.left() == []


def test_a_snapshot_of_before_a_crash_is_removed_when_it_starts_again(place, urbackup, folder):
    """From its data base it knows the id, what was read, the name and the folder."""
    mount = urbackup.create(folder)
    assert [held["session"] for held in place.held()] == urbackup.ids
    assert urbackup.script("remove", urbackup.ids[-1], mount, folder.name, mount, str(folder))[0] == 0
    assert place.left() == []


def test_a_folder_of_no_guest_is_left_to_it_as_without_us(place, urbackup):
    own = place.root / "own"
    own.mkdir()
    (own / "file").write_text("the host's own")
    urbackup.requires_snapshot = False
    assert urbackup.backup(own) == {"file": "the host's own"}
    assert urbackup.errors == []
    assert place.left() == []


def test_a_hold_that_did_not_last_is_an_error_in_its_log(overflowing, urbackup, folder):
    assert urbackup.backup(folder) is not None
    [reason] = urbackup.errors
    assert "did not hold to the end" in reason
    assert overflowing.left() == []


def test_a_second_client_at_the_same_time_makes_no_backup(place, urbackup, folder):
    assert urbackup.create(folder)
    assert urbackup.backup(folder) is None
    assert "is held for the session" in urbackup.errors[0]
    assert place.tree.exists()


def test_links_with_the_names_of_its_programs_do_the_same(place, urbackup, folder):
    for step in ("create", "remove"):
        link = place.root / f"{step}_filesystem_snapshot.nightly"
        link.symlink_to(place.command[0])
        urbackup.settings[f"{step}_filesystem_snapshot"] = str(link)
    assert urbackup.backup(folder) is not None
    assert (urbackup.removed, urbackup.errors) == (0, [])
    assert place.left() == []


@pytest.mark.parametrize(
    "words", [[], ["create_filesystem_snapshot", "id"], ["create_volume_snapshot", "id"]]
)
def test_other_calls_are_refused(words):
    with pytest.raises(UsageError, match="UrBackup calls create_filesystem_snapshot"):
        hook_of("urbackup")(Given("nightly", words, {}))
