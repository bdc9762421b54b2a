"""MongoDB locked for the snapshot: what its shell is told. The shell is a stand-in, as there is no server to be had."""

from __future__ import annotations

import os
import signal

import pytest

from holdstill_plugins.mongodb import Options

from .processes import children, command_lines

WORD = "w0rd-of-it"
CONNECTION = Options().connection
MONGOSH = """#!/bin/sh
echo "$MONGODB_PASSWORD" >> {0}/told
locked() {{ test -e {0}/quiet; }}
case $* in
  *fsyncUnlock*) locked || {{ echo 'MongoServerError: fsyncUnlock called when not locked' >&2; exit 1; }}
                 rm {0}/quiet; exit;;
  *throw*) if locked; then echo 'Error: it is locked already' >&2; exit 1; fi;;
esac
case $* in *'lock: true'*) touch {0}/quiet;; esac
"""


@pytest.fixture
def step(scene):
    """A step with a password, for a stand-in that keeps in files whether it is locked, and what it was told."""
    scene.program("mongosh", MONGOSH.format(scene.folder))
    password = scene.folder / "password"
    password.write_text(f"{WORD}\n")
    password.chmod(0o600)
    return f"mongodb: {{user: backup, password: {password}}}"


def test_it_is_locked_while_the_snapshot_is_made_and_only_its_shell_is_told_the_password(scene, disk, step):
    scene.configure(disk, step)
    process = scene.start()
    assert scene.reached("snapshot")
    assert scene.quiet
    told = [*map(str, command_lines()), *(path.read_text() for path in scene.site.folder.rglob("*.jsonl"))]
    scene.go_on("snapshot")
    told += process.communicate(timeout=90)
    assert process.returncode == 0, told
    assert not scene.quiet
    assert {*(scene.folder / "told").read_text().split()} == {WORD}
    assert WORD not in "".join(told)


def test_it_is_unlocked_by_recover_when_all_was_killed(scene, disk, step):
    scene.configure(disk, step)
    process = scene.start()
    assert scene.reached("snapshot")
    for pid in (*children(process.pid), process.pid):
        os.kill(pid, signal.SIGKILL)
    process.communicate()
    assert scene.quiet
    by_hand = [hold["by_hand"] for held in scene.site.held() for hold in held["holds"]]
    assert (
        f"mongosh '{CONNECTION}' --username backup --authenticationDatabase admin --eval 'db.fsyncUnlock()'"
        in by_hand
    )
    assert scene.site.call("recover").returncode == 0
    assert not scene.quiet
    assert scene.site.held() == []


def test_one_that_somebody_else_has_locked_is_refused_and_stays_so(scene, disk, step):
    scene.configure(disk, step)
    (scene.folder / "quiet").touch()
    result = scene.site.call("run", "nightly")
    assert result.returncode == 69
    assert "it is locked already" in result.stderr
    assert scene.quiet
