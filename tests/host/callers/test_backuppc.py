"""BackupPC: as its own user it calls holdstill by sudo, and reads what is held by a tar of root's."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from ..sudo import launcher, rules, shipped
from .backuppc import USER, BackupPC
from .conftest import Guest, executable
from .gate import LIMIT, Gate


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

    alias = f"BACKUPPC_{os.getpid()}"
    reads = printed("sudoers").replace("BACKUPPC_READS", alias)
    with rules(shipped("holdstill-caller", USER, program) + reads):
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


def test_what_is_restored_is_what_was_on_the_guests_disk(backuppc, guest, tmp_path):
    assert backuppc.dump() == 0, backuppc.log()
    assert guest.is_let_go_of()
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


def test_a_dump_that_fails_lets_go(backuppc, printed, guest):
    backuppc.configure(
        printed("host.pl").replace("TarFullArgs} = '.'", "TarFullArgs} = '--no-such-option .'")
    )
    assert backuppc.dump() != 0
    assert "full" not in backuppc.backups()
    assert guest.is_let_go_of()


def test_a_hold_that_did_not_last_to_the_end_fails_the_dump(backuppc, guest, gate):
    guest.configure("    lease: 0.001s\n")
    with waiting(backuppc, gate) as dump:
        assert guest.site.call("recover").returncode == 0
        guest.trees.mkdir(parents=True)  # were there anything to read, all the same
    guest.trees.rmdir()
    assert dump.returncode != 0
    assert "DumpPostUserCmd returned error" in backuppc.log()
    assert "full" not in backuppc.backups()
    assert guest.is_let_go_of()


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_a_dump_that_is_stopped_lets_go(backuppc, guest, gate, ended_by):
    with waiting(backuppc, gate) as dump:
        assert guest.tree.is_mount()
        dump.send_signal(ended_by)
    assert dump.returncode != 0
    assert "full" not in backuppc.backups()
    assert guest.is_let_go_of()


def test_its_user_reads_nothing_but_what_is_held(printed, guest, tmp_path):  # noqa: ARG001
    def may(*words: str) -> bool:
        asked = ["/usr/bin/sudo", "-n", "-l", "/usr/bin/tar", *words]
        return (
            subprocess.run(
                asked, user=USER, group=USER, extra_groups=[], capture_output=True, check=False
            ).returncode
            == 0
        )

    words = ("-c", "-f", "-", "-C", str(guest.trees), "--totals")
    assert may(*words, ".")
    assert may(*words, "--newer=2026-11-25 01:30:00", ".")
    assert not may(*words, "/etc")
    assert not may(*words, "--newer=2026-11-25 01:30:00", "--use-compress-program=id", ".")
    assert not may("-c", "-f", "-", "-C", "/etc", "--totals", ".")
