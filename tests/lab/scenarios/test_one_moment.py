"""Several disks of one moment: never torn, suspended for the shortest time, and resumed whatever happens."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .installed import Site, host_state
from .system import mappings, run, suspended, wait_until
from .writing import Writer, writing

CONFIGURATION = """
guests:
  {guests}
jobs:
  nightly:
    guests: {named}
    backup:
      command:
        run: [sh, -c, 'echo $HOLDSTILL_DEVICES | tr : "\\n" | xargs -n1 head -c 512 > {copy}']
"""
ONE_GUEST = "db: {disks: [/dev/hostvg/data, /dev/hostvg/log], snapshot: {lvm: {size: 8M}}, open: []}"
TWO_GUESTS = """a: {disks: [/dev/hostvg/data], snapshot: {lvm: {size: 8M}}, open: []}
  b: {disks: [/dev/hostvg/log], snapshot: {lvm: {size: 8M}}, open: []}"""
SHAPES = {"one guest": (ONE_GUEST, "[db]"), "two guests": (TWO_GUESTS, "[[a, b]]")}


@pytest.fixture(scope="module")
def disks(hostvg: str) -> list[str]:
    """Two disks of a guest."""
    for name in ("data", "log"):
        run("lvcreate", "--yes", "--name", name, "--size", "32M", hostvg)
    return [f"/dev/{hostvg}/data", f"/dev/{hostvg}/log"]


@pytest.fixture
def writer(disks: list[str], tmp_path: Path) -> Iterator[Writer]:
    """A writer at work."""
    with writing(tmp_path / "report", *disks) as at_work:
        yield at_work


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    """Holdstill, to hold both disks at one moment."""
    made = Site(tmp_path)
    guests, named = request.param
    made.write(configured(made, guests, named))
    return made


def configured(site: Site, guests: str, named: str) -> str:
    """A configuration whose backup is the first sector of each disk."""
    copy = site.archives / "copy"
    return CONFIGURATION.format(guests=guests, named=named, copy=copy)


def counters(site: Site) -> tuple[int, int]:
    """What was read from the snapshots: the counter on each disk."""
    copy = (site.archives / "copy").read_bytes()
    return int(copy[:512].split()[0]), int(copy[512:].split()[0])


def test_what_is_written_to_two_disks_in_turn_is_never_torn(
    site: Site, writer: Writer, record_property: Callable[[str, object], None]
) -> None:
    before = host_state()
    for _ in range(3):
        writer.goes_on()
        outcome = site.outcome("nightly")
        assert outcome["ok"], outcome
        first, second = counters(site)
        assert first in {second, second + 1}, "what was written first is there if what came after is"
        assert set(outcome["frozen_seconds"]) == set(outcome["quiet_seconds"])
    writer.goes_on()
    assert host_state() == before
    record_property("seconds for which the disks were frozen", outcome["frozen_seconds"])
    record_property("the writer's longest stall in seconds", writer.report()["stall"])


def test_snapshots_one_after_the_other_would_be_torn(disks: list[str], writer: Writer) -> None:
    """Shows that the writer above can tell: without it, the test before would prove nothing."""
    found = []
    for _ in range(3):
        writer.goes_on()
        for disk in disks:
            run("lvcreate", "--yes", "--snapshot", "--size", "8M", "--name", f"{Path(disk).name}-s", disk)
        found += [[int(Path(f"{disk}-s").read_bytes()[:512].split()[0]) for disk in disks]]
        run("lvremove", "--yes", *(f"{disk}-s" for disk in disks))
    assert any(first not in {second, second + 1} for first, second in found), found


@pytest.mark.parametrize("site", [SHAPES["two guests"]], indirect=True)
@pytest.mark.parametrize("victims", ["the run", "the run and its watchdog"])
def test_a_run_killed_while_the_disks_are_suspended_leaves_no_guest_hanging(
    site: Site, writer: Writer, victims: str
) -> None:
    before = host_state()
    with subprocess.Popen(site.argv("run", "nightly"), stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: "hostvg-log" in suspended(), "the disks are suspended")
        if "watchdog" in victims:
            run("pkill", "--signal", "KILL", "--full", "lvm_awake")
        process.send_signal(signal.SIGKILL)
    if "watchdog" not in victims:
        wait_until(lambda: not suspended(), "the watchdog has resumed them")
        writer.goes_on()
    site.call("recover")
    writer.goes_on()
    assert host_state() == before


@pytest.mark.parametrize("site", [SHAPES["one guest"]], indirect=True)
def test_a_run_that_is_stopped_meanwhile_resumes_the_disks(site: Site, writer: Writer) -> None:
    before = host_state()
    with subprocess.Popen(site.argv("run", "nightly"), stderr=subprocess.DEVNULL) as process:
        wait_until(lambda: "hostvg-log" in suspended(), "the disks are suspended")
        process.send_signal(signal.SIGTERM)
    assert process.returncode
    writer.goes_on()
    assert host_state() == before


def test_several_thin_disks_are_refused_by_name(hostvg: str, tmp_path: Path) -> None:
    run("lvcreate", "--yes", "--type", "thin-pool", "--name", "pool", "--size", "64M", hostvg)
    for name in ("t1", "t2"):
        run("lvcreate", "--yes", "--thin", "--virtualsize", "32M", "--name", name, f"{hostvg}/pool")
    site = Site(tmp_path)
    guest = "db: {disks: [/dev/hostvg/t1, /dev/hostvg/t2], snapshot: {lvm: {size: 4M}}, open: []}"
    site.write(configured(site, guest, "[db]"))
    complaint = site.refused("check")
    assert "/dev/hostvg/t1" in complaint
    assert "/dev/hostvg/t2" in complaint
    assert "quiesced" in complaint
    site.write(site.config.read_text().replace("size: 4M", "size: 4M, quiesced: true"))
    before = host_state()
    site.call("run", "nightly")
    assert host_state() == before
    run("lvremove", "--yes", f"{hostvg}/pool")
    assert not [name for name in mappings() if "pool" in name]
