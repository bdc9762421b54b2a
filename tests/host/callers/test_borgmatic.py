"""borgmatic with Borg: it calls holdstill, and backs up what is held."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import executable

BORGMATIC = Path(sys.executable).with_name("borgmatic")
OWN = """
repositories:
    - path: {repository}
relocated_repo_access_is_ok: true
unknown_unencrypted_repo_access_is_ok: true
borg_base_directory: {folder}
user_runtime_directory: {folder}
user_state_directory: {folder}
"""
SLOWLY = """
ssh_command: {remote}
upload_rate_limit: 1
"""
REMOTE = """#!/bin/sh
# In the place of ssh: the repository is on this machine.
while [ "$1" != borg ]; do shift; done
exec "$@"
"""

AT_THE_END = """#!/bin/sh
# Borg; when the archive is made, holdstill lets go of what has outlasted its lease.
borg "$@" || exit
case "$*" in
    *--dry-run*) ;;
    *create*) {recover} ;;
esac
"""


@pytest.fixture
def configure(guest, tmp_path) -> Callable[[str], Path]:
    """Paste what holdstill prints into a configuration of borgmatic's; make its repository."""

    def write(more: str = "", repository: Path | str = tmp_path / "repository") -> Path:
        words = {"folder": tmp_path, "repository": repository, "remote": tmp_path / "remote"}
        path = tmp_path / "borgmatic.yaml"
        path.write_text(guest.snippet("borgmatic", "nightly.yaml") + (OWN + more).format(**words))
        return path

    made = guest.run("borg", "init", "--encryption=none", tmp_path / "repository")
    assert made.returncode == 0, made.stderr
    return write


def archives(guest, folder: Path) -> list[str]:
    listed: list[str] = guest.run("borg", "list", "--short", folder / "repository").stdout.split()
    return listed


def back_up(guest, configuration: Path):
    return guest.run(BORGMATIC, "--config", configuration, "create")


def test_what_is_archived_is_what_was_on_the_guests_disk(guest, configure, told, tmp_path):
    done = back_up(guest, configure())
    assert done.returncode == 0, done.stdout + done.stderr
    assert guest.is_let_go_of()
    assert told() == "ok"
    [archive] = archives(guest, tmp_path)
    restored = tmp_path / "restored"
    restored.mkdir()
    extract = f"cd {restored} && borg extract --numeric-ids {tmp_path}/repository::{archive}"
    assert guest.run("sh", "-c", extract).returncode == 0
    assert guest.is_in(restored / str(guest.tree).lstrip("/"))


def test_a_guest_that_cannot_be_held_is_not_archived(guest, configure, tmp_path):
    guest.break_disk()
    done = back_up(guest, configure())
    assert done.returncode == 1
    assert "holdstill:" in done.stdout + done.stderr
    assert archives(guest, tmp_path) == []
    assert guest.is_let_go_of()


def test_a_backup_that_fails_lets_go(guest, configure, told, tmp_path):
    configuration = configure(repository=tmp_path / "nowhere")
    assert back_up(guest, configuration).returncode == 1
    assert guest.is_let_go_of()
    assert told() == "failed"


def test_a_backup_that_is_stopped_lets_go(guest, configure, told, tmp_path):
    executable(tmp_path / "remote", REMOTE)
    configuration = configure(SLOWLY, f"ssh://here/{tmp_path}/repository")
    process = guest.start(BORGMATIC, "--config", configuration, "create")
    said = guest.stop_while_it_is_read(process, "borg")
    assert process.returncode != 0, said
    assert guest.is_let_go_of()
    assert told() == "failed"
    assert archives(guest, tmp_path) == []


def test_a_hold_that_did_not_last_to_the_end_fails_the_backup(guest, configure, tmp_path):
    guest.configure("    lease: 0.001s\n")
    recover = shlex.join(guest.site.argv("recover"))
    borg = executable(tmp_path / "borg", AT_THE_END.format(recover=recover))
    done = back_up(guest, configure(f"local_path: {borg}\n"))
    assert done.returncode == 1
    assert "holdstill: " in done.stdout + done.stderr
    assert len(archives(guest, tmp_path)) == 1, "the archive is there, and is not good"
    assert guest.is_let_go_of()
