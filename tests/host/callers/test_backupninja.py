"""backupninja: an action of its own calls holdstill, and has it carry out others in between."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Guest, executable
from .gate import LIMIT, Gate, eventually

BACKUPNINJA = "/usr/sbin/backupninja"
OWN = """loglevel = 4
reportemail =
logfile = {folder}/log
configdirectory = {folder}/etc/backup.d
scriptdirectory = /usr/share/backupninja
libdirectory = /usr/lib/backupninja
usecolors = no
"""
OTHER = "touch {folder}/other-action-ran\n"


@pytest.fixture
def configure(guest: Guest, tmp_path: Path) -> Callable[..., list[str | Path]]:
    """Install what holdstill prints as actions, and one more action; give the command line that starts them all."""
    configuration = tmp_path / "backupninja.conf"
    actions = tmp_path / "etc" / "backup.d"
    (actions / "nightly").mkdir(parents=True)
    for folder in (actions, actions / "nightly"):
        folder.chmod(0o700)

    def own(file: str) -> str:
        return guest.in_our_folder("backupninja", file).replace("/etc/backup.d", str(actions))

    def write(tar: Path | str = "/usr/bin/tar") -> list[str | Path]:
        called = own("guests.sh").replace(BACKUPNINJA, f"{BACKUPNINJA} --conffile {configuration}")
        here = f"TAR = {tar}\nexcludes = /nothing\n"  # its own excludes have /tmp
        texts = {
            "50-nightly.sh": called,
            "nightly/10-guests.tar": own("guests.tar") + here,
            "90-other.sh": OTHER.format(folder=tmp_path),
        }
        for name, text in texts.items():
            (actions / name).write_text(text)
            (actions / name).chmod(0o600)
        configuration.write_text(OWN.format(folder=tmp_path))
        return [BACKUPNINJA, "--now", "--conffile", configuration]

    return write


def archives(folder: Path) -> list[Path]:
    return list((folder / "backup").glob("*.tar.zst"))


def log(folder: Path) -> str:
    return (folder / "log").read_text()


def test_what_is_archived_is_what_was_on_the_guests_disk(guest, configure, told, tmp_path):
    done = guest.run(*configure())
    assert done.returncode == 0, log(tmp_path)
    assert told() == "ok"
    assert "0 fatal. 0 error. 0 warning." in log(tmp_path)
    assert guest.is_let_go_of()
    [archive] = archives(tmp_path)
    (tmp_path / "restored").mkdir()
    extract = ["--extract", f"--file={archive}", f"--directory={tmp_path}/restored", "--numeric-owner"]
    assert guest.run("tar", *extract).returncode == 0
    assert guest.is_in(tmp_path / "restored" / str(guest.tree).lstrip("/"))


def test_a_guest_that_cannot_be_held_is_not_archived_while_other_actions_go_on(guest, configure, tmp_path):
    guest.break_disk()
    assert guest.run(*configure()).returncode == 2
    assert "Fatal: holdstill: guest web" in log(tmp_path)
    assert archives(tmp_path) == []
    assert guest.is_let_go_of()
    assert (tmp_path / "other-action-ran").exists()


def test_an_action_that_fails_is_reported_and_lets_go(guest, configure, told, tmp_path):
    done = guest.run(*configure(tar=executable(tmp_path / "tar", "#!/bin/sh\nexit 2\n")))
    assert done.returncode != 0
    assert told() == "failed"
    assert "Error: " in log(tmp_path)
    assert "10-guests.tar failed" in log(tmp_path)
    assert guest.is_let_go_of()


def test_a_hold_that_did_not_last_to_the_end_is_fatal(guest, configure, tmp_path):
    guest.configure("    lease: 0.001s\n")
    recover = shlex.join(guest.site.argv("recover"))
    tar = executable(tmp_path / "tar", f'#!/bin/sh\n{recover}\nexec /usr/bin/tar "$@"\n')
    assert guest.run(*configure(tar=tar)).returncode == 2
    assert "Fatal: holdstill: " in log(tmp_path)
    assert guest.is_let_go_of()


def test_a_backupninja_that_is_stopped_with_all_that_it_runs_lets_go(guest, configure, tmp_path):
    gate = Gate(tmp_path / "gate")
    tar = executable(tmp_path / "tar", f'#!/bin/sh\ncat {gate.path}\nexec /usr/bin/tar "$@"\n')
    with gate.shut():
        process = guest.start(*configure(tar=tar))
        gate.wait_until_reached()
        assert guest.tree.is_mount()
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=LIMIT)
    eventually(guest.is_let_go_of)
    assert archives(tmp_path) == []


def test_a_backupninja_that_is_killed_alone_lets_go_when_its_action_has_ended(guest, configure, tmp_path):
    gate = Gate(tmp_path / "gate")
    tar = executable(tmp_path / "tar", f'#!/bin/sh\ncat {gate.path}\nexec /usr/bin/tar "$@"\n')
    with gate.shut():
        process = guest.start(*configure(tar=tar))
        gate.wait_until_reached()
        process.kill()
        process.wait()
        assert guest.tree.is_mount()
    eventually(guest.is_let_go_of)
