"""A guest's swap space: passed over without being opened."""

from __future__ import annotations

import pytest

from holdstill.testing import Machine, classic_disk, trial_in

JOB = """
guests:
  web: {disks: ["%s"], snapshot: %s, open: [partitions, guest-lv, mount]}
jobs:
  nightly: {guests: [web]}
"""


@pytest.mark.parametrize(("disk", "snapshot"), [("/dev/hostvg/web", "lvm"), ("{root}/web.img", "image")])
def test_swap_is_neither_mapped_nor_attached(tmp_path, disk, snapshot):
    def prepare(machine: Machine) -> None:
        if snapshot == "lvm":
            machine.add_volume("hostvg/web", classic_disk())
        else:
            machine.add_image(tmp_path / "machine/web.img", classic_disk())

    trial = trial_in(tmp_path / "machine", JOB % (disk, snapshot), prepare)
    assert trial.pre().sentence == ""
    held = [what for what in trial.held() if "vg_guest1/" in what]
    assert [what.partition(" of ")[2] for what in held] == ["vg_guest1/root"]
    trial.post()
    assert trial.state() == trial.before
