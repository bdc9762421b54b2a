"""What guests keep their files on: LVM of every kind, clones, names of the host's, and nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import tarfile
from pathlib import Path

import pytest

from .guest_disk import loop_on, mounted, new_volume
from .guest_group import CONTENT, Group, make_guest, running_guest
from .installed import Site, host_state, looking_away
from .system import attempt, run, wait_until

pytestmark = pytest.mark.usefixtures("udev_rule")

GUEST = "vg_guest1"
BENEATH = ("striped", "mirror", "thin1", "thin2")


def of_every_kind(guest: Group) -> None:
    one, other = guest.pvs
    guest.create("root", "--extents", "3", GUEST, one)
    guest.lvm("lvextend", "--extents", "+2", f"{GUEST}/root", other)
    guest.create("striped", "--extents", "4", "--stripes", "2", "--stripesize", "64k", GUEST)
    guest.lvm("lvextend", "--extents", "+2", f"{GUEST}/root", one)
    guest.create("mirror", "--type", "raid1", "--mirrors", "1", "--extents", "4", GUEST)
    guest.create("swap", "--extents", "1", GUEST)
    guest.create("pool", "--type", "thin-pool", "--extents", "6", GUEST)
    guest.create("thin1", "--thin", "--virtualsize", "40M", f"{GUEST}/pool")
    guest.create("thin2", "--thin", "--virtualsize", "20M", f"{GUEST}/pool")
    guest.create("kept", "--snapshot", "--extents", "1", f"{GUEST}/root")
    run("mkswap", f"/dev/{GUEST}/swap")
    guest.write_root(*BENEATH)
    for name in BENEATH:
        guest.write(name, content=name.encode() + CONTENT)
    guest.settle("mirror")


@pytest.fixture(scope="module")
def every_kind(hostvg: str) -> Path:
    return make_guest(hostvg, "every_kind", GUEST, of_every_kind)


def assert_all_kinds_in(archives: Path) -> None:
    [archive] = archives.rglob("*.tar.gz")
    with tarfile.open(archive) as tar:
        for name in BENEATH:
            file = tar.extractfile(f"./{name}/content")
            assert file
            assert file.read() == name.encode() + CONTENT, name


def test_volumes_of_every_kind_are_read(site: Site, every_kind: Path) -> None:
    site.configure(every_kind)
    before = host_state()
    site.call("check")
    site.call("run", "nightly")
    assert host_state() == before
    assert_all_kinds_in(site.archives)


def test_a_mirror_is_read_from_the_leg_that_is_current(site: Site, hostvg: str) -> None:
    """The first leg is behind: whoever reads just that gets files of another day."""

    def mirrored(guest: Group) -> None:
        guest.create("root", "--type", "raid1", "--mirrors", "1", "--extents", "16", GUEST)
        guest.write_root()
        guest.change("root", state=b"of another day")
        guest.settle("root")

    disk = make_guest(hostvg, "mirrored", GUEST, mirrored)
    with running_guest(disk, GUEST) as guest:
        left = guest.pvs[1:]
        guest.lvm("vgchange", "--activate", "y", "--activationmode", "degraded", GUEST, pvs=left)
        guest.change("root", state=b"current", more=CONTENT)
        guest.lvm("vgchange", "--activate", "n", GUEST, pvs=left)
    site.configure(disk)
    before = host_state()
    site.call("pre", "nightly")
    assert (site.tree / "state").read_text() == "current"
    assert (site.tree / "more").read_bytes() == CONTENT
    [mirror] = [line for line in run("dmsetup", "status").splitlines() if " raid " in line]
    assert "frozen" in mirror, "the stale leg is not brought up to date in the snapshot"
    [fill] = run("lvs", "--noheadings", "--select", "lv_name=~^hs_", "--options", "data_percent").split()
    assert float(fill) < 40, "of a fifth of 64 MiB"
    site.call("post", "nightly")
    assert host_state() == before


def one_volume(guest: Group) -> None:
    guest.create("root", "--extents", "8", guest.name)
    guest.write_root()
    guest.change("root", state=b"the template")


def test_clones_of_one_template_are_read_at_once(site: Site, hostvg: str) -> None:
    template = make_guest(hostvg, "template", GUEST, one_volume)
    clone = new_volume(hostvg, "clone", "208M")
    run("dd", f"if={template}", f"of={clone}", "bs=1M", "conv=fsync")
    first_extent = 2048 + 2048
    with loop_on(clone, first_extent, 8 * 8192) as root, mounted(root, site.archives / "root") as tree:
        (tree / "state").write_bytes(b"the clone")
    run("rmdir", site.archives / "root")
    run("blockdev", "--flushbufs", clone)
    site.write(
        f"guests: {{web: {{disks: [{template}]}}, clone: {{disks: [{clone}]}}}}\n"
        "jobs: {nightly: {guests: [web, clone]}}\n"
    )
    before = host_state()
    site.call("pre", "nightly")
    states = {name: site.tree.with_name(name).joinpath("state").read_text() for name in ("web", "clone")}
    assert states == {"web": "the template", "clone": "the clone"}
    site.call("post", "nightly")
    assert host_state() == before


def test_the_host_works_on_while_a_guest_whose_group_has_its_name_is_read(site: Site, hostvg: str) -> None:
    site.configure(make_guest(hostvg, "namesake", hostvg, one_volume))
    before = host_state()
    site.call("pre", "nightly")
    assert (site.tree / "state").read_text() == "the template"
    run("lvcreate", "--yes", "--name", "of_the_host", "--size", "4M", hostvg)
    run("lvremove", "--yes", f"{hostvg}/of_the_host")
    site.call("post", "nightly")
    assert host_state() == before


def cached(guest: Group) -> None:
    guest.create("root", "--extents", "8", GUEST, guest.pvs[0])
    guest.create("fast", "--extents", "4", GUEST, guest.pvs[1])
    guest.lvm(
        "lvconvert", "--type", "cache", "--cachevol", "fast", "--cachemode", "writeback", f"{GUEST}/root"
    )
    guest.write_root()
    guest.change("root", state=b"cached", more=CONTENT)


def test_a_cached_volume_is_refused_by_guest_lv_and_read_by_guest_vg(site: Site, hostvg: str) -> None:
    disk = make_guest(hostvg, "cached", GUEST, cached)
    before = host_state()
    site.configure(disk)
    told = site.refused("run", "nightly")
    assert "vg_guest1/root is cache" in told
    assert "name 'guest-vg' instead" in told
    assert host_state() == before
    site.configure(disk, "partitions, guest-vg, mount")
    with looking_away():
        site.call("pre", "nightly")
        assert (site.tree / "more").read_bytes() == CONTENT
        maps = run("dmsetup", "info", "--columns", "--noheadings", "--options", "uuid").split()
        assert len([uuid for uuid in maps if uuid.startswith("HOLDSTILL-holdstill-")]) == 2
        site.call("post", "nightly")
    assert host_state() == before


@pytest.mark.parametrize("plugin", ["guest-lv", "guest-vg"])
def test_a_disk_without_partitions_can_be_a_physical_volume(site: Site, hostvg: str, plugin: str) -> None:
    disk = new_volume(hostvg, plugin.replace("-", "_"), "64M")
    with running_guest(disk, GUEST, new=True, whole=True) as guest:
        guest.create("root", "--extents", "8", GUEST)
        guest.write_root()
    site.configure(disk, f"partitions, {plugin}, mount")
    before = host_state()
    with looking_away():
        site.call("pre", "nightly")
        assert (site.tree / "hostname").read_text() == GUEST
        [hold] = json.loads(attempt(*site.argv("held", "--json")).stdout)
        for step in hold["holds"]:
            run("sh", "-c", step["by_hand"])
        assert host_state() == before
        attempt(*site.argv("post", "nightly"))


def test_a_plan_of_what_only_a_loop_device_could_show_ends_with_a_word(site: Site, every_kind: Path) -> None:
    site.configure(every_kind)
    before = host_state()
    assert "is known once they are attached" in site.call("plan", "nightly")
    assert host_state() == before


def test_volumes_of_every_kind_in_an_image_file_are_read(site: Site, every_kind: Path) -> None:
    image = site.config.with_name("guest.img")
    run("dd", f"if={every_kind}", f"of={image}", "bs=1M", "conv=sparse")
    site.configure(image)
    before = host_state()
    site.call("run", "nightly")
    assert host_state() == before
    assert_all_kinds_in(site.archives)


def test_a_killed_run_with_maps_upon_maps_is_recovered(site: Site, every_kind: Path) -> None:
    site.configure(every_kind)
    before = host_state()
    with subprocess.Popen(site.argv("run", "nightly"), stderr=subprocess.DEVNULL) as process:
        wait_until((site.tree / "thin2/content").exists, "the guest's tree is there")
        process.send_signal(signal.SIGKILL)
    site.call("recover")
    assert host_state() == before
