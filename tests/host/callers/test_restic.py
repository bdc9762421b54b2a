"""restic: called by holdstill, or with holdstill around it in a script."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import executable

SLOWLY = "restic --limit-upload 1"


@pytest.fixture
def repository(guest, tmp_path) -> Path:
    """A repository of restic's; and its variables, as a person has them who restores."""
    password, made = tmp_path / "restic-password", tmp_path / "restic"
    password.write_text("secret\n")
    guest.environment |= {
        "RESTIC_REPOSITORY": str(made),
        "RESTIC_PASSWORD_FILE": str(password),
        "RESTIC_CACHE_DIR": str(tmp_path / "cache"),
    }
    assert guest.run("restic", "init").returncode == 0
    return made


@pytest.fixture
def configure(guest, repository) -> Callable[..., None]:
    """Have holdstill call restic, as its snippet says."""
    assert repository.is_dir()

    def write(restic: str = "restic") -> None:
        snippet = guest.in_our_folder("restic", "holdstill.yaml")
        guest.configure(snippet.replace("run: restic backup", f"run: {restic} backup"))

    return write


@pytest.fixture
def script(guest, repository, tmp_path) -> Callable[..., Path]:
    """Write the script of the snippet."""
    assert repository.is_dir()

    def write(restic: str = "restic") -> Path:
        text = guest.in_our_folder("restic", "nightly.sh")
        return executable(tmp_path / "nightly.sh", text.replace("\nrestic backup", f"\n{restic} backup"))

    return write


def snapshots(guest) -> list[object]:
    listed: list[object] = json.loads(guest.run("restic", "snapshots", "--json").stdout)
    return listed


def restored(guest, tmp_path: Path) -> Path:
    done = guest.run("restic", "restore", "latest", "--target", tmp_path / "restored")
    assert done.returncode == 0, done.stderr
    return tmp_path / "restored" / str(guest.tree).lstrip("/")


# Called by holdstill


def test_what_holdstill_has_it_back_up_is_what_was_on_the_guests_disk(guest, configure, tmp_path):
    configure()
    done = guest.site.call("run", "nightly")
    assert done.returncode == 0, done.stderr
    assert guest.is_let_go_of()
    assert guest.is_in(restored(guest, tmp_path))


def test_it_is_not_called_for_a_guest_that_cannot_be_held(guest, configure):
    configure()
    guest.break_disk()
    assert guest.site.call("run", "nightly").returncode == 65
    assert snapshots(guest) == []
    assert guest.is_let_go_of()


def test_a_backup_that_fails_is_a_run_that_fails(guest, configure, repository):
    configure()
    (repository / "config").unlink()
    assert guest.site.call("run", "nightly").returncode == 79
    assert guest.is_let_go_of()


def test_a_run_that_is_stopped_stops_it(guest, configure):
    configure(SLOWLY)
    process = guest.start(*guest.site.argv("run", "nightly"))
    guest.stop_while_it_is_read(process, "restic")
    assert process.returncode == 143
    assert guest.is_let_go_of()
    assert snapshots(guest) == []


# In a script


def test_what_the_script_backs_up_is_what_was_on_the_guests_disk(guest, script, told, tmp_path):
    done = guest.run(script())
    assert done.returncode == 0, done.stderr
    assert guest.is_let_go_of()
    assert told() == "ok"
    assert guest.is_in(restored(guest, tmp_path))


def test_the_script_ends_where_a_guest_cannot_be_held(guest, script):
    guest.break_disk()
    assert guest.run(script()).returncode == 65
    assert snapshots(guest) == []
    assert guest.is_let_go_of()


def test_the_script_lets_go_when_the_backup_fails(guest, script, told, repository):
    (repository / "config").unlink()
    assert guest.run(script()).returncode == 1
    assert guest.is_let_go_of()
    assert told() == "failed"


def test_the_script_lets_go_when_it_is_stopped(guest, script, told):
    process = guest.start(script(SLOWLY))
    said = guest.stop_while_it_is_read(process, "restic")
    assert process.returncode == 143, said
    assert guest.is_let_go_of()
    assert told() == "failed"
    assert snapshots(guest) == []


def test_the_script_says_that_the_hold_did_not_last(guest, script):
    guest.configure("    lease: 0.001s\n")
    recover = shlex.join(guest.site.argv("recover"))
    assert guest.run(script(f"{recover}; restic")).returncode == 79
    assert guest.is_let_go_of()


def test_a_second_one_leaves_the_first_one_alone(guest, script):
    assert guest.cannot_begin_twice(script(SLOWLY), "restic")
