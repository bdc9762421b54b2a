"""rsnapshot: it calls holdstill, and copies what is held."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import executable

OWN = """config_version\t1.2
snapshot_root\t{folder}/snapshots/
cmd_cp\t/bin/cp
cmd_rm\t/bin/rm
cmd_rsync\t{rsync}
retain\talpha\t2
retain\tbeta\t2
lockfile\t{folder}/rsnapshot.pid
"""


@pytest.fixture
def configure(guest, tmp_path) -> Callable[..., Path]:
    """Paste what holdstill prints into a configuration of rsnapshot's; write its script for cron."""

    def write(rsync: str = "/usr/bin/rsync", how: str = "--delete") -> Path:
        path = tmp_path / "rsnapshot.conf"
        snippet = guest.in_our_folder("rsnapshot", "rsnapshot.conf").replace("--delete", how)
        path.write_text(OWN.format(folder=tmp_path, rsync=rsync) + snippet)
        script = guest.in_our_folder("rsnapshot", "nightly.sh").replace(
            "rsnapshot sync && rsnapshot", f"rsnapshot -c {path} sync && rsnapshot -c {path}"
        )
        return executable(tmp_path / "nightly.sh", script)

    (tmp_path / "rsnapshot").mkdir()
    (tmp_path / "rsnapshot" / "nightly").symlink_to(guest.trees)
    return write


def snapshots(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "snapshots").glob("alpha.*"))


def test_what_is_copied_is_what_was_on_the_guests_disk(guest, configure, tmp_path):
    done = guest.run(configure())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert guest.is_let_go_of()
    guest.run("cp", "--archive", tmp_path / "snapshots/alpha.0/guests/web", tmp_path / "restored")
    assert guest.is_in(tmp_path / "restored")


def test_older_snapshots_are_rotated_while_nothing_is_held(guest, configure, tmp_path):
    for _ in range(2):
        assert guest.run(configure()).returncode == 0
    assert snapshots(tmp_path) == ["alpha.0", "alpha.1"]
    assert guest.run("rsnapshot", "-c", tmp_path / "rsnapshot.conf", "beta").returncode == 0
    assert snapshots(tmp_path) == ["alpha.0"]


def test_a_guest_that_cannot_be_held_makes_no_snapshot(guest, configure, tmp_path):
    guest.break_disk()
    done = guest.run(configure())
    assert "holdstill:" in done.stderr
    assert "returned 65" in done.stderr
    assert snapshots(tmp_path) == []
    assert not list((tmp_path / "snapshots").rglob("web"))
    assert guest.is_let_go_of()


def test_a_backup_that_fails_makes_no_snapshot_and_lets_go(guest, configure, tmp_path):
    done = guest.run(configure(how="--no-such-option"))
    assert "rsync returned 1" in done.stderr
    assert snapshots(tmp_path) == []
    assert guest.is_let_go_of()


def test_a_hold_that_did_not_last_makes_no_snapshot(guest, configure, tmp_path):
    guest.configure("    lease: 0.001s\n")
    recover = shlex.join(guest.site.argv("recover"))
    rsync = executable(tmp_path / "rsync", f'#!/bin/sh\n{recover}\nexec /usr/bin/rsync "$@"\n')
    done = guest.run(configure(rsync=rsync))
    assert done.returncode != 0
    assert snapshots(tmp_path) == []
    assert guest.is_let_go_of()


def test_a_backup_that_is_stopped_lets_go(guest, configure, told, tmp_path):
    process = guest.start(configure(how="--bwlimit=1"))
    said = guest.stop_while_it_is_read(process, "rsync", all_of_it=True)
    assert process.returncode == 143, said
    assert guest.is_let_go_of()
    assert told() == "failed"
    assert snapshots(tmp_path) == []


def test_a_second_one_leaves_the_first_one_alone(guest, configure):
    assert guest.cannot_begin_twice(configure(how="--bwlimit=1"), "rsync")
