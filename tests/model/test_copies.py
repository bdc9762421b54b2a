"""Copies of image files: each guest's is its own, whatever its image is called."""

from __future__ import annotations

import pytest

from holdstill.testing import Machine, classic_disk, plain_disk, trial_in

CONFIGURATION = """
guests:
  web: {disks: ["{root}/web/disk.img"], snapshot: {image: {folder: "{root}/copies"}}, open: []}
  db: {disks: ["{root}/db/disk.img"], snapshot: {image: {folder: "{root}/copies"}}, open: []}
jobs:
  nightly: {guests: [web, db]}
"""


def images_of_one_name(machine: Machine) -> None:
    """Have the images where many a Xen host has them: ``GUEST/disk.img``."""
    for name in ("web", "db", "copies"):
        (machine.root / name).mkdir()
    machine.add_image(machine.root / "web" / "disk.img", classic_disk())
    machine.add_image(machine.root / "db" / "disk.img", plain_disk())


@pytest.fixture
def trial(tmp_path):
    return trial_in(tmp_path / "machine", CONFIGURATION, images_of_one_name)


def test_images_of_one_name_are_copied_to_a_folder_side_by_side(trial):
    """The copy of the second guest's would overwrite that of the first, which is read as the first guest's."""
    assert trial.pre().ok
    kernel = trial.machine.kernel
    assert [kernel.contents[loop.store] for loop in kernel.loops.values()] == [classic_disk(), plain_disk()]
    assert all(outcome.ok for outcome in trial.post())
    assert trial.state() == trial.before
