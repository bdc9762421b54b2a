"""Borg itself: called by holdstill, or with holdstill around it in a script."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import executable

REMOTE = """#!/bin/sh
# In the place of ssh: the repository is on this machine.
while [ "$1" != borg ]; do shift; done
exec "$@"
"""


@pytest.fixture
def repository(guest, tmp_path) -> Path:
    """A repository of Borg's; and its variables, as a person has them who restores."""
    passphrase, made = tmp_path / "borg-passphrase", tmp_path / "borg"
    passphrase.write_text("secret\n")
    guest.environment |= {
        "BORG_REPO": str(made),
        "BORG_PASSCOMMAND": f"cat {passphrase}",
        "BORG_BASE_DIR": str(tmp_path),
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
        "BORG_RSH": str(executable(tmp_path / "remote", REMOTE)),
    }
    done = guest.run("borg", "init", "--encryption=repokey")
    assert done.returncode == 0, done.stderr
    return made


@pytest.fixture
def script(guest, repository, tmp_path) -> Callable[..., Path]:
    """Write the script of the snippet."""

    def write(borg: str = "borg", at: str = str(repository)) -> Path:
        text = guest.in_our_folder("borg", "nightly.sh").replace(f"BORG_REPO={repository}", f"BORG_REPO={at}")
        return executable(tmp_path / "nightly.sh", text.replace("\nborg create", f"\n{borg} create"))

    return write


def archives(guest) -> list[str]:
    listed: list[str] = guest.run("borg", "list", "--short").stdout.split()
    return listed


def restored(guest, folder: Path) -> Path:
    [archive] = archives(guest)
    folder.mkdir()
    done = guest.run("sh", "-c", f"cd {folder} && borg extract --numeric-ids ::{archive}")
    assert done.returncode == 0, done.stderr
    return folder / str(guest.tree).lstrip("/")


def test_what_holdstill_has_it_archive_is_what_was_on_the_guests_disk(guest, repository, tmp_path):
    assert repository.is_dir()
    snippet = guest.in_our_folder("borg", "holdstill.yaml")
    guest.configure(snippet.replace("environment:\n", f"environment:\n          BORG_BASE_DIR: {tmp_path}\n"))
    done = guest.site.call("run", "nightly")
    assert done.returncode == 0, done.stderr
    assert guest.is_let_go_of()
    assert guest.is_in(restored(guest, tmp_path / "restored"))


def test_what_the_script_archives_is_what_was_on_the_guests_disk(guest, script, told, tmp_path):
    done = guest.run(script())
    assert done.returncode == 0, done.stderr
    assert guest.is_let_go_of()
    assert told() == "ok"
    assert guest.is_in(restored(guest, tmp_path / "restored"))


def test_the_script_ends_where_a_guest_cannot_be_held(guest, script):
    guest.break_disk()
    assert guest.run(script()).returncode == 65
    assert archives(guest) == []
    assert guest.is_let_go_of()


def test_the_script_lets_go_when_the_backup_fails(guest, script, told):
    assert guest.run(script(at="/nowhere")).returncode == 2
    assert guest.is_let_go_of()
    assert told() == "failed"


def test_the_script_lets_go_when_it_is_stopped(guest, script, told, repository):
    process = guest.start(script("borg --upload-ratelimit 1", at=f"ssh://here{repository}"))
    said = guest.stop_while_it_is_read(process, "borg")
    assert process.returncode == 143, said
    assert guest.is_let_go_of()
    assert told() == "failed"
    assert archives(guest) == []


def test_a_second_one_leaves_the_first_one_alone(guest, script, repository):
    slowly = script("borg --upload-ratelimit 1", at=f"ssh://here{repository}")
    assert guest.cannot_begin_twice(slowly, "borg")


def test_the_script_says_that_the_hold_did_not_last(guest, script, tmp_path):
    guest.configure("    lease: 0.001s\n")
    recover = shlex.join(guest.site.argv("recover"))
    borg = executable(tmp_path / "later", f'#!/bin/sh\nborg "$@" && {recover}\n')
    assert guest.run(script(borg=str(borg))).returncode == 79
    assert len(archives(guest)) == 1, "the archive is there, and is not good"
    assert guest.is_let_go_of()
