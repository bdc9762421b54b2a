"""SIGKILL, whoever sends it: on LVM's own commands, on the run, on both. The guest goes on, and its host is put right.

A killed lvcreate or lvremove leaves the live guest's disk suspended if it was in its critical section. The run wakes
it; if the run was killed as well, the watchdog does.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

import pytest

from holdstill.cli import app
from holdstill.places import Places
from holdstill.run.start import registry
from holdstill_plugins import lvm_awake

from .campaign import rng, samples
from .conftest import DATA_DISK, HOST_VG
from .guest_disk import GuestDisk
from .installed import Site, host_state
from .system import attempt, clear, run, suspended, wait_until
from .writing import Writer, writing

CONFIGURATION = """
guests:
  web: {{disks: [/dev/hostvg/{origin}], snapshot: {{lvm: {{size: 8M}}}}, open: []}}
jobs:
  nightly: {{guests: [web], backup: {{command: {{run: {backup}}}}}}}
"""
SNAPSHOT, TRUE = "snapshot: {lvm: {size: 8M}}, open: []", "backup: {command: {run: 'true'}}"
FILL = "[sh, -c, 'dd if=/dev/urandom of=/dev/hostvg/web bs=1M count=6 seek=8 oflag=direct; exec sleep 98765']"
"A backup during which its snapshot is filled, so that it is extended; and that outlives its run."
COMMAND, RUN = "the command", "the run"
KILLED = [(COMMAND,), (RUN,), (RUN, COMMAND)]
TRIES = samples(1, 17)
LOOK = 0.001
WRITE = 50
"Milliseconds that the disk takes to write: so long are critical sections that a look of ours falls into them."

Tell = Callable[[str, object], None]
pytestmark = pytest.mark.deadline(1800)


@contextmanager
def holdstill(site: Site, *arguments: str) -> Iterator[BaseProcess]:
    """Have a holdstill at work that need not be imported first: in emulation that takes longer than all the rest."""
    process = multiprocessing.get_context("fork").Process(target=_holdstill, args=[*site.options, *arguments])
    process.start()
    yield process
    process.join()


def _holdstill(*arguments: str) -> None:
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    os._exit(app.call(arguments))


class Origin(NamedTuple):
    """A guest's disk with a guest that writes to it."""

    name: str
    writer: Writer

    @property
    def suspended(self) -> bool:
        """Whether the guest hangs."""
        node = Path(f"/dev/hostvg/{self.name}").resolve().name
        return Path(f"/sys/block/{node}/dm/suspended").read_text().strip() == "1"


@pytest.fixture(scope="module", autouse=True)
def imported() -> None:
    """Import all that holdstill imports: what is forked off has it, then."""
    for command in ("run", "recover"):
        importlib.import_module(f"holdstill.cli.{command}")
    registry(Places())


@pytest.fixture(scope="module")
def hostvg() -> Iterator[str]:
    """Make the host's volume group on a disk that is slow to write; the kernel's device-mapper/delay.rst."""
    begin = 2048  # so that the disk beneath does not look like a physical volume, too
    sectors = int(run("blockdev", "--getsz", DATA_DISK)) - begin
    where = f"{DATA_DISK} {begin}"
    run("dmsetup", "create", "slow", "--table", f"0 {sectors} delay {where} 0 {where} {WRITE}")
    run("vgcreate", "--yes", HOST_VG, "/dev/mapper/slow")
    yield HOST_VG
    clear(DATA_DISK, HOST_VG)


@pytest.fixture(scope="module")
def origin(hostvg: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Origin]:
    """A volume that is written to all the time, through all that follows."""
    run("lvcreate", "--yes", "--name", "web", "--size", "64M", hostvg)
    with writing(tmp_path_factory.mktemp("writer") / "report", "/dev/hostvg/web") as writer:
        yield Origin("web", writer)


@pytest.fixture
def bare(site: Site, origin: Origin) -> Site:
    """Holdstill, to make a snapshot of the origin and to remove it again."""
    site.write(CONFIGURATION.format(origin=origin.name, backup="'true'"))
    return site


@pytest.fixture(scope="module")
def took(origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """How many seconds each command takes when nobody kills it."""
    site = Site(tmp_path_factory.mktemp("undisturbed"))
    site.write(CONFIGURATION.format(origin=origin.name, backup="'true'"))
    found = {}
    with holdstill(site, "run", "nightly") as process:
        for victim in ("lvcreate", "lvremove"):
            pid, began = started(process, victim), time.monotonic()
            wait_until_gone(pid)
            found[victim] = time.monotonic() - began
    assert process.exitcode == 0
    return found


def started(process: BaseProcess, name: str, snapshots: int = 0) -> int:
    """Wait until a run has started a command of that name, on so many snapshots at least; give its process id."""
    until = time.monotonic() + 600
    while time.monotonic() < until:
        for children in Path(f"/proc/{process.pid}/task").glob("*/children"):
            with suppress(OSError):
                for pid in children.read_text().split():
                    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
                    if words[0] == name and sum("/hs_" in word for word in words) >= snapshots:
                        return int(pid)
        assert process.is_alive(), f"the run has ended before it came to {name}"
        time.sleep(LOOK)
    raise AssertionError(f"the run has not come to {name}")


def wait_until_gone(pid: int) -> None:
    wait_until(lambda: not Path(f"/proc/{pid}").exists(), f"process {pid} has ended")


def kill(process: BaseProcess, command: int, killed: tuple[str, ...]) -> bool:
    """Kill what is to be killed, the run first; tell whether the command was there by then."""
    there = Path(f"/proc/{command}").exists()
    if RUN in killed:
        process.kill()
        process.join()
    if COMMAND in killed:
        with suppress(ProcessLookupError):
            os.kill(command, signal.SIGKILL)
        wait_until_gone(command)
    return there


def assert_the_guest_goes_on(origin: Origin) -> None:
    """Nobody has called «holdstill recover», and nobody is going to."""
    wait_until(lambda: not origin.suspended, "the guest's disk is awake again")
    origin.writer.goes_on()


def assert_put_right(site: Site, before: dict[str, object]) -> None:
    with holdstill(site, "recover") as process:
        pass
    assert process.exitcode == 0
    assert host_state() == before
    assert not list((site.config.parent / "state" / "journals").glob("*.jsonl"))


@pytest.mark.parametrize("killed", KILLED, ids=" and ".join)
@pytest.mark.parametrize("victim", ["lvcreate", "lvremove"])
def test_whatever_is_killed_at_any_moment_the_guest_goes_on(
    bare: Site,
    origin: Origin,
    took: dict[str, float],
    victim: str,
    killed: tuple[str, ...],
    record_property: Tell,
) -> None:
    before, hit, left = host_state(), 0, 0
    for number in range(TRIES):
        moment = rng("kill", victim, killed, number).uniform(0, took[victim])
        with holdstill(bare, "run", "nightly") as process:
            command = started(process, victim)
            time.sleep(moment)
            hit += kill(process, command, killed)
            left += COMMAND in killed and origin.suspended
        assert_the_guest_goes_on(origin)
        assert_put_right(bare, before)
    told = f"{hit} times it was at work, {left} times the guest's disk was left suspended"
    record_property(f"{victim}, killed {' and '.join(killed)}, {TRIES} tries", told)
    record_property("the writer's longest stall in seconds", origin.writer.report()["stall"])


@pytest.mark.parametrize("victim", ["lvcreate", "lvremove", "lvextend"])
def test_killed_in_its_critical_section_with_its_run_the_watchdog_wakes_the_guest_and_all_its_snapshots(
    site: Site, origin: Origin, victim: str
) -> None:
    site.write(CONFIGURATION.format(origin=origin.name, backup=FILL if victim == "lvextend" else "'true'"))
    run("lvcreate", "--yes", "--snapshot", "--name", "others", "--size", "8M", "hostvg/web")
    before = host_state()
    for _ in range(samples(1, 5)):
        kill_in_critical_section(site, origin, victim)
        assert_the_guest_goes_on(origin)
        wait_until(lambda: not suspended(), "somebody else's snapshot of it is awake, too")
        attempt("pkill", "--full", "sleep 98765")
        assert_put_right(site, before)
    run("lvremove", "--yes", "hostvg/others")


def test_killed_while_it_removes_several_snapshots_it_leaves_every_guest_awake(
    site: Site, origin: Origin, record_property: Tell
) -> None:
    """The snapshots of the first guests go together, while the last one's goes alone."""
    names = [origin.name, "mail", "db"]
    guests = [f"  {name}: {{disks: [/dev/hostvg/{name}], {SNAPSHOT}}}" for name in names]
    site.write(
        "\n".join(["guests:", *guests, f"jobs: {{nightly: {{guests: [{', '.join(names)}], {TRUE}}}}}"])
    )
    for name in names[1:]:
        run("lvcreate", "--yes", "--name", name, "--size", "64M", "hostvg")
    before, left = host_state(), 0
    for _ in range(samples(1, 5)):
        with holdstill(site, "run", "nightly") as process:
            command = started(process, "lvremove", snapshots=2)
            while not origin.suspended and Path(f"/proc/{command}").exists():
                time.sleep(LOOK)
            kill(process, command, (RUN, COMMAND))
            left += origin.suspended
        assert_the_guest_goes_on(origin)
        wait_until(lambda: not suspended(), "all guests are awake again")
        assert_put_right(site, before)
    for name in names[1:]:
        run("lvremove", "--yes", f"hostvg/{name}")
    record_property("a guest's disk was left suspended for a moment", f"{left} times of {samples(1, 5)}")


def test_without_the_watchdog_the_guest_would_hang_until_somebody_calls_recover(
    bare: Site, origin: Origin
) -> None:
    """Shows that the tests above can tell; and that recover does not need it."""
    before = host_state()
    kill_in_critical_section(bare, origin, "lvremove", first="lvm_awake")
    time.sleep(3 * lvm_awake.A_MOMENT)
    assert origin.suspended
    assert_put_right(bare, before)
    origin.writer.goes_on()


def test_a_thin_snapshot_cut_off_in_the_making_is_recovered_and_its_pool_works_again(
    site: Site, hostvg: str, tmp_path: Path
) -> None:
    run("lvcreate", "--yes", "--type", "thin-pool", "--name", "pool", "--size", "64M", hostvg)
    run("lvcreate", "--yes", "--thin", "--virtualsize", "32M", "--name", "thin", f"{hostvg}/pool")
    with writing(tmp_path / "report", f"/dev/{hostvg}/thin") as writer:
        origin = Origin("thin", writer)
        site.write(CONFIGURATION.format(origin=origin.name, backup="'true'"))
        before = host_state()
        for _ in range(samples(1, 5)):
            kill_in_critical_section(site, origin, "lvcreate")
            assert_the_guest_goes_on(origin)
            assert_put_right(site, before)
        with holdstill(site, "run", "nightly") as process:
            pass
        assert process.exitcode == 0
    run("lvremove", "--yes", f"{hostvg}/pool")


def kill_in_critical_section(site: Site, origin: Origin, victim: str, first: str = "") -> None:
    """Kill a command with its run just when it has suspended the origin; ``first`` also a program by its name."""
    before = host_state()
    for _ in range(20):
        with holdstill(site, "run", "nightly") as process:
            command = started(process, victim)
            while not origin.suspended and Path(f"/proc/{command}").exists():
                time.sleep(LOOK)
            with suppress(ProcessLookupError):
                os.kill(command, signal.SIGSTOP)
            if first:
                run("pkill", "--signal", "KILL", "--full", first)
            kill(process, command, (RUN, COMMAND))
            if origin.suspended:
                return
        assert_put_right(site, before)
    raise AssertionError(f"{victim} was never caught in its critical section")


RECORDS = range(1, 40)
"More than there are in the journal of the run below; it has the first ten in any case."


@pytest.mark.usefixtures("udev_rule", "lvm_filter")
def test_a_run_killed_at_each_of_its_journals_records_is_recovered(
    site: Site, guest_disk: GuestDisk, record_property: Tell
) -> None:
    site.configure(guest_disk.path)
    before, reached = host_state(), []
    numbers = rng("records").sample(RECORDS[:10], samples(2, 0)) or RECORDS
    for number in numbers:
        if not (records := kill_at_record(site, number)):
            break
        reached.append(records)
        assert_put_right(site, before)
    assert reached
    record_property("killed when the journal had so many records", reached)


def kill_at_record(site: Site, number: int) -> int:
    """Kill a run as soon as its journal has so many records; give how many it had then, none if it never had."""
    journals = site.config.parent / "state" / "journals"
    with holdstill(site, "run", "nightly") as process:
        while process.is_alive():
            if records_in(journals) >= number:
                process.kill()
                process.join()
                return records_in(journals)
            time.sleep(LOOK)
    return 0


def records_in(journals: Path) -> int:
    """How many records there are in the journal of the only run."""
    with suppress(FileNotFoundError):
        return sum(path.read_bytes().count(b"\n") for path in journals.glob("*.jsonl"))
    return 0
