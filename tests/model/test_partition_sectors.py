"""A partition table that counts in sectors of another size than the device has."""

from __future__ import annotations

from dataclasses import replace

import pytest

from holdstill.testing import Machine, Nothing, Partition, Table, partitioned_disk, trial_in

JOB = """
guests:
  web:
    disks: [/dev/hostvg/web]
    open: [{steps}]
jobs:
  nightly:
    guests: [web]
    backup: {{command: {{run: backup-program}}}}
"""


def run(folder, steps, disk):
    """What a run of such a disk says, and how many partitions it found."""

    def prepare(machine: Machine) -> None:
        machine.add_volume("hostvg/web", disk)
        machine.programs["backup-program"] = lambda _trees: 0

    trial = trial_in(folder / "machine", JOB.format(steps=steps), prepare)
    sentence = trial.run().sentence
    assert trial.state() == trial.before
    return sentence


def test_partitions_reads_it_by_what_is_on_the_disk(tmp_path):
    assert run(tmp_path, "partitions, guest-lv, mount", replace(partitioned_disk(), sector=4096)) == ""


def test_kpartx_refuses_it_and_names_what_can_read_it(tmp_path):
    said = run(tmp_path, "kpartx, guest-lv, mount", replace(partitioned_disk(), sector=4096))
    assert "counts in sectors of 4096 bytes" in said
    assert "name 'partitions' instead of 'kpartx'" in said


@pytest.mark.parametrize("steps", ["partitions", "kpartx"])
def test_where_nothing_is_known_on_a_disk_its_table_counts_in_the_devices_sectors(tmp_path, steps):
    blank = Table((Partition(2048 * 512, 1 << 20, Nothing()),))
    assert run(tmp_path, steps, blank) == ""
