"""burp: its client calls holdstill, and sends its server what is held."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .burp import Burp
from .conftest import Guest, executable
from .gate import LIMIT, Gate


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """What the client backs up besides the guest."""
    return Gate(tmp_path / "gate")


@pytest.fixture
def burp(tmp_path: Path) -> Iterator[Burp]:
    """A server that the client is known to."""
    made = Burp(tmp_path / "burp")
    with made.served():
        yield made


@pytest.fixture
def back_up(guest: Guest, burp: Burp, gate: Gate) -> list[str]:
    """Paste what holdstill prints into the client's configuration, install its script; give cron's line, for now."""
    script = executable(burp.folder / "holdstill-nightly", guest.snippet("burp", "script.sh"))
    pasted = guest.snippet("burp", "burp.conf").replace("/etc/burp/holdstill-nightly", str(script))
    configuration = burp.configure(f"{pasted}include = {gate.path}\nread_fifo = {gate.path}\n")
    [line] = re.findall(r"\troot\t(.*) >>", guest.snippet("burp", "cron"))
    line = line.replace("/etc/burp/guests.conf", str(configuration)).replace("-a t -q 1200", "-a b")
    return ["sh", "-c", line]


@contextmanager
def waiting(guest, back_up, gate) -> Iterator[subprocess.Popen[str]]:
    """Have the client wait at the gate for as long as the block lasts; afterwards, it has ended."""
    with gate.shut():
        client = guest.start(*back_up)
        gate.wait_until_reached()
        yield client
    client.wait(timeout=LIMIT)


def test_what_is_restored_is_what_was_on_the_guests_disk(guest, burp, back_up, tmp_path):
    done = guest.run(*back_up)
    assert done.returncode == 0, done.stdout
    assert guest.is_let_go_of()
    assert len(burp.backups()) == 1
    restored = guest.run(*burp.restore(tmp_path / "restored"))
    assert restored.returncode == 0, restored.stdout
    assert guest.is_in(tmp_path / "restored" / str(guest.tree).lstrip("/"))


def test_a_guest_that_cannot_be_held_is_not_backed_up(guest, burp, back_up):
    guest.break_disk()
    done = guest.run(*back_up)
    assert done.returncode != 0
    assert "holdstill: guest web" in done.stdout
    assert burp.backups() == []
    assert guest.is_let_go_of()


def test_a_backup_whose_server_dies_lets_go(guest, burp, back_up, gate):
    with waiting(guest, back_up, gate) as client:
        assert guest.tree.is_mount()
        burp.kill_server()
    assert client.returncode != 0
    assert guest.is_let_go_of()


def test_a_hold_that_did_not_last_to_the_end_fails_the_client_but_the_server_keeps_the_backup(
    guest, burp, back_up, gate
):
    guest.configure("    lease: 0.001s\n")
    with waiting(guest, back_up, gate) as client:
        assert guest.site.call("recover").returncode == 0
    assert client.returncode != 0
    assert "holdstill: " in client.communicate()[0]
    assert len(burp.backups()) == 1
    assert guest.is_let_go_of()


def test_what_a_client_that_is_stopped_holds_is_let_go_of_by_its_next_backup(guest, burp, back_up, gate):
    with waiting(guest, back_up, gate) as client:
        client.terminate()
        client.wait(timeout=LIMIT)
        assert [held["session"] for held in guest.site.held()] == ["default"]
    assert burp.backups() == []
    assert guest.run(*back_up).returncode == 0
    assert guest.is_let_go_of()


def test_what_a_client_that_is_stopped_holds_is_let_go_of_when_the_lease_ends(guest, back_up, gate):
    guest.configure("    lease: 0.001s\n")
    with waiting(guest, back_up, gate) as client:
        client.terminate()
        client.wait(timeout=LIMIT)
    assert guest.site.call("recover").returncode == 0
    assert guest.is_let_go_of()
