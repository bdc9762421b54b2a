"""``tar``: what a person is told when an archive cannot be made, and what is in its manifest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from holdstill.errors import ExitCode
from holdstill.testing import Refused, Tool, plain_disk, trial_in
from holdstill_plugins import manifest

CONFIGURATION = """
guests:
  web: {disks: ["{root}/web.img"]}
jobs:
  nightly: {guests: [web], backup: {tar: {to: "{root}/archives", compress: none}}}
"""
DEEP = 1500
COMPLAINTS = (
    "tar: ./lost: Read error at byte 0, while reading 512 bytes: Input/output error",
    "tar: Exiting with failure status due to previous errors",
)


@pytest.fixture
def trial(tmp_path):
    """A machine on which tar cannot read one of the first files, and goes on for long."""

    def prepare(machine):
        machine.add_image(machine.root / "web.img", plain_disk())
        (machine.root / "archives").mkdir()
        machine.tools = {
            Path(sys.executable).name: Tool(lambda _machine, _words: '{"bytes": 0}'),
            "install": Tool(lambda _machine, _words: ""),
            "tar": Tool(fail),
        }

    return trial_in(tmp_path / "machine", CONFIGURATION, prepare)


@pytest.fixture
def deep_tree(tmp_path):
    """A tree in which folders are in each other more deeply than Python lets functions be; Python cannot remove it."""
    tree = tmp_path / "tree"
    subprocess.run(["mkdir", "--parents", f"{tree}/{'d/' * DEEP}"], check=True)
    yield tree
    subprocess.run(["rm", "--recursive", tree], check=True)


def test_the_manifest_of_a_tree_has_all_of_it_in_order_however_deep_it_is(deep_tree, tmp_path):
    (deep_tree / "d" / "a").write_text("content")
    (deep_tree / "e").symlink_to("d")
    assert manifest.write(str(deep_tree), str(tmp_path / "manifest"))["entries"] == DEEP + 2
    paths = [json.loads(line)["path"] for line in (tmp_path / "manifest").read_text().splitlines()]
    assert [*paths[:4], paths[-1]] == ["d", "d/a", "d/d", "d/d/d", "e"]


def fail(_machine, _words):
    progress = [f"tar: {count * 1000}" for count in range(1, 1000)]
    raise Refused(2, "\n".join([*progress[:2], COMPLAINTS[0], *progress[2:], COMPLAINTS[1]]))


def test_what_tar_complained_of_is_told_however_much_it_did_afterwards(trial):
    outcome = trial.run()
    assert outcome.code == ExitCode.BACKUP_FAILED
    assert f"failed with status 2: {'; '.join(COMPLAINTS)}" in outcome.sentence
