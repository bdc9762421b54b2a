"""``tar``: what a person is told when an archive cannot be made."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from holdstill.errors import ExitCode
from holdstill.testing import Refused, Tool, plain_disk, trial_in

CONFIGURATION = """
guests:
  web: {disks: ["{root}/web.img"]}
jobs:
  nightly: {guests: [web], backup: {tar: {to: "{root}/archives", compress: none}}}
"""
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


def fail(_machine, _words):
    progress = [f"tar: {count * 1000}" for count in range(1, 1000)]
    raise Refused(2, "\n".join([*progress[:2], COMPLAINTS[0], *progress[2:], COMPLAINTS[1]]))


def test_what_tar_complained_of_is_told_however_much_it_did_afterwards(trial):
    outcome = trial.run()
    assert outcome.code == ExitCode.BACKUP_FAILED
    assert f"failed with status 2: {'; '.join(COMPLAINTS)}" in outcome.sentence
