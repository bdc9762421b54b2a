"""BackupPC: as its own user it calls holdstill by sudo, and reads what is held by a tar of root's."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ..sudo import launcher, rules, shipped
from .backuppc import USER, BackupPC
from .conftest import Guest, executable
from .gate import LIMIT, Gate

TAR, DATE = "/usr/bin/tar", "2026-11-25 01:30:00"


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """A folder that other users may enter, unlike pytest's own."""
    with TemporaryDirectory(prefix="holdstill-") as made:
        Path(made).chmod(0o755)
        yield Path(made)


@pytest.fixture
def printed(guest: Guest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """What holdstill prints for BackupPC; its user may call, as the rules for sudo say."""
    program = launcher(tmp_path)

    def printed(file: str) -> str:
        return guest.run(program, "caller", "backuppc", "nightly", "--file", file).stdout

    kept = f'Defaults:{USER} env_keep += "TAPE TAR_OPTIONS"\n'  # whatever a site's sudo lets through
    with rules(kept + shipped("holdstill-caller", USER, program) + printed("sudoers")):
        yield printed


@pytest.fixture
def backuppc(printed, tmp_path: Path) -> Iterator[BackupPC]:
    """Paste what holdstill prints into the configuration of a host of BackupPC's."""
    made = BackupPC(tmp_path / "backuppc", host="nightly")
    made.configure(printed("host.pl"))
    with made.served():
        yield made


@pytest.fixture
def gate(backuppc, printed, tmp_path) -> Gate:
    """Where BackupPC waits before it reads."""
    made = Gate(tmp_path / "gate")
    later = executable(tmp_path / "later", f'#!/bin/sh\ncat {made.path}\nexec /usr/bin/sudo "$@"\n')
    backuppc.configure(
        printed("host.pl").replace(
            "Cmd} = '/usr/bin/sudo -n /usr/bin/tar", f"Cmd}} = '{later} -n /usr/bin/tar"
        )
    )
    return made


@contextmanager
def waiting(backuppc, gate) -> Iterator[subprocess.Popen[bytes]]:
    """Have a dump wait at the gate for as long as the block lasts; afterwards, it has ended."""
    with gate.shut():
        dump = backuppc.start("BackupPC_dump", "-v", "-f", backuppc.host)
        gate.wait_until_reached()
        yield dump
    dump.wait(timeout=LIMIT)


def test_what_is_restored_is_what_was_on_the_guests_disk(backuppc, guest, told, tmp_path):
    assert backuppc.dump() == 0, backuppc.log()
    assert guest.is_let_go_of()
    assert told() == "ok"
    assert backuppc.dump("-i") == 0, backuppc.log()
    assert guest.is_let_go_of()
    assert backuppc.backups() == ["full", "incr"]
    backuppc.restore(guest.trees, tmp_path / "restored")
    assert guest.is_in(tmp_path / "restored" / "web")


def test_a_guest_that_cannot_be_held_is_not_backed_up(backuppc, guest):
    guest.break_disk()
    assert backuppc.dump() != 0
    assert "holdstill: guest web" in backuppc.log()
    assert backuppc.backups() == []
    assert guest.is_let_go_of()


def test_a_dump_that_fails_lets_go(backuppc, printed, guest, told):
    backuppc.configure(printed("host.pl").replace("--create .", "--create --no-such-option ."))
    assert backuppc.dump() != 0
    assert "full" not in backuppc.backups()
    assert guest.is_let_go_of()
    assert told() == "failed"


def test_a_hold_that_did_not_last_to_the_end_fails_the_dump(backuppc, guest, gate):
    guest.configure("    lease: 0.001s\n")
    with waiting(backuppc, gate) as dump:
        assert guest.site.call("recover").returncode == 0
        guest.trees.mkdir(parents=True)  # were there anything to read, all the same
    guest.trees.rmdir()
    assert dump.returncode != 0
    assert "DumpPostUserCmd returned error" in backuppc.log()
    assert "holdstill: " in backuppc.log()
    assert "full" not in backuppc.backups()
    assert guest.is_let_go_of()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_a_dump_that_is_stopped_lets_go(backuppc, guest, gate, told, ended_by):
    with waiting(backuppc, gate) as dump:
        assert guest.tree.is_mount()
        dump.send_signal(ended_by)
    assert dump.returncode != 0
    assert "full" not in backuppc.backups()
    assert guest.is_let_go_of()
    assert told() == "failed"


# What its user may read


def sudo(*words: str, **more) -> subprocess.CompletedProcess[bytes]:
    """Call sudo as BackupPC does."""
    account = {"user": USER, "group": USER, "extra_groups": []}
    return subprocess.run(
        ["/usr/bin/sudo", "-n", *words], capture_output=True, check=False, **account, **more
    )


def may(*words: str) -> bool:
    """Tell whether sudo would let it call tar so; nothing is called."""
    return sudo("-l", TAR, *words).returncode == 0


@pytest.fixture
def lines(printed, guest) -> list[str]:
    """The arguments of its tar for a full and for an incremental dump, as sudo sees them: joined by spaces."""
    client, *kinds = re.findall(r"{Tar\w+} = '([^']+)';", printed("host.pl"))
    call = client.partition(f"{TAR} ")[2].replace("$shareName", str(guest.trees))
    return [f"{call} {kind.replace('$incrDate', DATE)}" for kind in kinds]


@pytest.fixture
def theirs(guest, tmp_path) -> Path:
    """A folder of their user's, while something is held."""
    guest.trees.mkdir(parents=True)
    (guest.trees / "held").touch()
    folder = tmp_path / "theirs"
    folder.mkdir()
    shutil.chown(folder, USER, USER)
    return folder


def split(line: str) -> list[str]:
    """Give the words of a line as BackupPC means them."""
    return [word.replace("\0", " ") for word in line.replace(DATE, DATE.replace(" ", "\0")).split(" ")]


def groupings(line: str) -> Iterator[list[str]]:
    """Give all words, however many of them are made one, that are this line when they are joined by spaces."""
    first, *others = line.split(" ")
    for gaps in product(" \0", repeat=len(others)):
        yield (first + "".join(map(str.__add__, gaps, others))).split("\0")


def test_its_user_reads_and_writes_nothing_else_however_many_words_are_made_one(lines, theirs, tmp_path):
    secret = tmp_path / "secret"
    secret.mkdir(mode=0o700)
    for folder in (secret, theirs):
        (folder / "not-to-be-read").touch()
    every = [words for line in lines for words in groupings(line)]
    for place in {word[word.index(" /") :] for words in every for word in words if " /" in word}:
        (theirs / place).parent.mkdir(parents=True, exist_ok=True)
        (theirs / place).symlink_to(secret)
    before = set(tmp_path.rglob("*"))
    for words in every:
        assert b"not-to-be-read" not in sudo(TAR, *words, cwd=theirs).stdout, words
        assert set(tmp_path.rglob("*")) == before, words


def test_its_users_environment_is_not_tars(lines, theirs):
    archive = theirs / "archive"
    for line in lines:
        done = sudo(TAR, *split(line), env={"TAPE": str(archive), "TAR_OPTIONS": f"--file={archive}"})
        assert (done.returncode, done.stdout[:3]) == (0, b"./\0"), done.stderr
    assert list(theirs.iterdir()) == []


def test_its_user_may_call_tar_with_no_other_words(lines):
    for line in lines:
        words = split(line)
        assert may(*words)
        assert not may(*words, "/etc")
        assert not may(*words[:-1], "/etc")
        assert not may(*words[:-1], "--use-compress-program=id", ".")
        assert not may("--directory=/etc", *words[1:])
        assert not may("--directory=/", *words)
