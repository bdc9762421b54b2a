"""Kopia, by a double that does what its source says: it cannot be installed here.

It runs an action as a child with its own variables added, reads ``KEY=VALUE`` lines from the action's standard output
to the end, kills only that child when the time is over, makes no snapshot if an essential "before" failed, and calls
"after" only if "before" did not fail.
"""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import LIMIT


@dataclass
class Kopia:
    """``kopia policy set`` and ``kopia snapshot create``, as far as actions are concerned."""

    folder: Path
    environment: dict[str, str]
    over: Callable[[], object] | None = None
    "When the time is over; never, if there is no such thing."

    def set_policy(self, script: str) -> None:
        """Run a script that calls ``kopia policy set``, as our page says; keep what it says."""
        program = self.folder / "kopia"
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {self.folder}/policy\n')
        program.chmod(0o755)
        path = f"{self.folder}:{os.environ['PATH']}"
        subprocess.run(["sh", "-e"], input=script, text=True, env={"PATH": path}, check=True)

    @property
    def source(self) -> Path:
        return Path((self.folder / "policy").read_text().splitlines()[2])

    def action(self, when: str) -> list[str]:
        """Split the action as Kopia does: CSV with spaces for commas."""
        flag = f"--{when}-snapshot-root-action="
        [line] = [one for one in (self.folder / "policy").read_text().splitlines() if one.startswith(flag)]
        return next(csv.reader([line.removeprefix(flag)], delimiter=" "))

    def run(self, when: str, snapshot: str) -> tuple[int, str]:
        variables = {"KOPIA_SNAPSHOT_ID": snapshot, "KOPIA_SOURCE_PATH": str(self.source)}
        child = subprocess.Popen(
            self.action(when),
            env=self.environment | variables,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self.over:
            self.over()
            child.kill()
        out, self.said = child.communicate(timeout=LIMIT)
        captured = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        return child.returncode, captured.get("KOPIA_SNAPSHOT_PATH", "")

    def create(self, to: Path, *, snapshot: str = "f00d", fails: bool = False) -> bool:
        """Make a snapshot, a copy in ``to``; tell whether there is one."""
        status, redirected = self.run("before", snapshot)
        if status:
            return False
        if not fails:
            shutil.copytree(redirected or self.source, to)
        self.after = self.run("after", snapshot)[0]
        return not fails


@pytest.fixture
def kopia(place) -> Kopia:
    made = Kopia(place.root, os.environ | place.environment)
    script = place.run("caller", "kopia", "nightly", "--file", "policy.sh").out
    made.set_policy(script.replace("/srv/holdstill", str(place.root / "srv")))
    return made


def test_it_backs_up_what_is_held_in_the_place_of_its_source(place, kopia, tmp_path):
    assert kopia.source == place.root / "srv/nightly"
    assert kopia.create(tmp_path / "copy")
    assert (tmp_path / "copy/web/disk1").read_text() == "the guest's data"
    assert (kopia.after, kopia.said) == (0, "")
    assert place.left() == []


def test_it_makes_no_snapshot_if_the_guests_cannot_be_held(place, kopia, tmp_path):
    place.disk.unlink()
    assert not kopia.create(tmp_path / "copy")
    assert kopia.said.count("\n") == 1
    assert place.left() == []


def test_a_snapshot_of_its_that_fails_lets_go_all_the_same(place, kopia, tmp_path):
    assert not kopia.create(tmp_path / "copy", fails=True)
    assert place.left() == []


def test_another_snapshot_at_the_same_time_is_refused(place, kopia, tmp_path):
    assert kopia.run("before", "one")[0] == 0
    assert not kopia.create(tmp_path / "copy", snapshot="two")
    assert "is held for the session 'one'" in kopia.said
    assert place.tree.exists()
    assert kopia.run("after", "one")[0] == 0
    assert place.left() == []


def test_a_hold_that_did_not_last_fails_the_second_action(place, kopia, tmp_path):
    place.config.write_text(
        place.config.read_text().replace("snapshot: stranger", "snapshot: {stranger: {overflow: true}}")
    )
    kopia.create(tmp_path / "copy")
    assert kopia.after == 79
    assert place.left() == []


def test_killed_at_its_limit_the_next_snapshot_finds_the_host_clean(place, kopia, gate, tmp_path):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    kopia.over = lambda: place.eventually(gate.reached.exists)
    assert not kopia.create(tmp_path / "copy")
    gate.opened.touch()
    kopia.over = None
    assert kopia.create(tmp_path / "copy", snapshot="two")
    assert place.left() == []


def test_after_it_was_killed_while_it_read_a_site_may_let_its_next_snapshot_take_over(place, kopia, tmp_path):
    place.write(job="if-held: release")
    assert kopia.run("before", "one")[0] == 0
    assert kopia.create(tmp_path / "copy", snapshot="two")
    assert (tmp_path / "copy/web/disk1").read_text() == "the guest's data"
    assert place.held() == []
