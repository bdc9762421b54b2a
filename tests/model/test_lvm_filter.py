"""Before guests' physical volumes are shown on maps, the host's own LVM must be told not to look."""

from __future__ import annotations

import pytest

from holdstill.testing import Machine, classic_disk, trial_in
from holdstill_plugins import lvm_filter

JOB = """
guests:
  web:
    disks: [{disk}]
    open: [{steps}]
jobs:
  nightly:
    guests: [web]
    backup: {{command: {{run: backup-program}}}}
"""
OURS = '"r|^/dev/mapper/holdstill-|", "r|^/dev/mapper/.*-hs_|"'
SEEN = "LVM on this host would look for guests' volume groups"
KPARTX, GUEST_VG = "kpartx, guest-lv, mount", "partitions, guest-vg, mount"


def outcome(folder, steps=KPARTX, disk="/dev/hostvg/web", **settings):
    """What a run says on a host with these settings of LVM's."""

    def prepare(machine: Machine) -> None:
        machine.add_volume("hostvg/web", classic_disk())
        machine.add_image(machine.root / "web.img", classic_disk())
        machine.lvm_settings |= settings
        machine.programs["backup-program"] = lambda _trees: 0

    trial = trial_in(folder / str(len(list(folder.iterdir()))), JOB.format(disk=disk, steps=steps), prepare)
    return trial.run().sentence


@pytest.mark.parametrize("steps", [KPARTX, GUEST_VG, "kpartx, guest-vg, mount"])
def test_a_host_without_a_filter_is_told_the_line_and_the_file(tmp_path, steps):
    said = outcome(tmp_path, steps, global_filter='["a|.*|"]')
    assert SEEN in said
    assert f"«devices {{ global_filter = [ {OURS}" in said
    assert "/etc/lvm/lvmlocal.conf" in said


@pytest.mark.parametrize("steps", [KPARTX, GUEST_VG])
def test_a_filter_that_rejects_all_that_is_a_guests_will_do(tmp_path, steps):
    assert outcome(tmp_path, steps) == ""


def test_loop_devices_of_guests_are_hidden_where_they_show_a_volume_group(tmp_path):
    said = outcome(tmp_path, GUEST_VG, disk="{root}/web.img", global_filter=f"[{OURS}]")
    assert '"r|^/dev/(loop|nbd)[0-9]|"' in said
    assert outcome(tmp_path, GUEST_VG, global_filter=f"[{OURS}]") == ""


def test_the_partitions_step_shows_no_physical_volume_and_needs_no_filter(tmp_path):
    assert outcome(tmp_path, "partitions, guest-lv, mount", global_filter='["a|.*|"]') == ""


def test_maps_of_images_are_on_loop_devices_and_named_after_them(tmp_path):
    said = outcome(tmp_path, KPARTX, disk="{root}/web.img", global_filter=f"[{OURS}]")
    assert '"r|^/dev/mapper/(loop|nbd)[0-9]|"' in said


@pytest.mark.parametrize(
    "patterns",
    [
        '["a|^/dev/sda|", "r|.*|"]',
        '["a|^/dev/sd|", "r/.*/"]',
        '["r{^/dev/mapper/(holdstill-|hostvg-hs_)}"]',
        '["a|^/dev/mapper/hostvg-data$|", "r|^/dev/mapper/|"]',
        '["r|hs|$|"]',
        '"r|.*|"',
    ],
)
@pytest.mark.parametrize("which", ["global_filter", "filter"])
def test_filters_of_the_hosts_own_are_understood(tmp_path, which, patterns):
    assert outcome(tmp_path, **{"global_filter": '["a|.*|"]', which: patterns}) == ""


@pytest.mark.parametrize(
    "patterns",
    [
        '["a|.*|", "r|^/dev/mapper/|"]',
        '["a|^/dev/mapper/|", "r|.*|"]',
        '["a|^/dev/dm-|", "r|.*|"]',
        '["r|^/dev/mapper/holdstill-|"]',
        '["r|^/dev/mapper/othervg-hs_|", "r|^/dev/mapper/holdstill-|"]',
        '["r|^/dev/mapper/|", "a|.*|"]',
    ],
)
def test_filters_that_let_a_guests_maps_through_are_not_enough(tmp_path, patterns):
    assert SEEN in outcome(tmp_path, global_filter=patterns)


def test_what_the_host_filters_already_stays_in_the_line_after_ours(tmp_path):
    said = outcome(tmp_path, global_filter='["r|^/dev/drbd|", "a|.*|"]')
    assert f'{OURS}, "r|^/dev/drbd|" ] }}»' in said


def test_a_devices_file_counts_only_if_it_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(lvm_filter, "DEVICES", str(tmp_path))
    settings = {"global_filter": '["a|.*|"]', "use_devicesfile": "1", "devicesfile": '"here.devices"'}
    assert SEEN in outcome(tmp_path, **settings)
    (tmp_path / "here.devices").touch()
    assert outcome(tmp_path, **settings) == ""
