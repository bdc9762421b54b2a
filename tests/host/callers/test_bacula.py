"""Bacula's own daemons back up a guest through holdstill, as docs/how-to/callers/bacula.md says."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdstill.testing.disks import GuestDisk

from ..compared import assert_has_the_guests_files
from ..conftest import Site
from .bacula import Bacula
from .conftest import told_of_the_backup
from .gate import Gate, eventually

pytestmark = pytest.mark.usefixtures("guest")

CONFIGURATION = """
guests:
  web: {{disks: [{disk}]}}
jobs:
  nightly: {{guests: [web], lease: {lease}, around: [prometheus: {{folder: {folder}}}]}}
"""
SLOW = """
from pathlib import Path
from holdstill.plugin import hookimpl

@hookimpl(wrapper=True)
def holdstill_expose(run):
    yield
    Path({gate!r}).read_bytes()
"""


@pytest.fixture(scope="module")
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all tests here: the daemons' configuration names paths in it."""
    return tmp_path_factory.mktemp("bacula")


@pytest.fixture(scope="module")
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(scope="module")
def gate(tmp_path: Path) -> Gate:
    """What the job backs up last."""
    return Gate(tmp_path / "gate")


@pytest.fixture(scope="module")
def bacula(tmp_path: Path, site: Site, gate: Gate) -> Iterator[Bacula]:
    """The daemons, with the job that «holdstill caller» prints; a line of the test's own lets it wait at the gate."""
    folder = tmp_path / "bacula"
    folder.mkdir()
    site.configure(CONFIGURATION.format(disk="/srv/web.img", lease="12h", folder=tmp_path))
    printed = site.call("caller", "bacula", "nightly")
    assert printed.returncode == 0, printed.stderr
    at_last = f"  Include {{ Options {{ readfifo = yes }}; File = {gate.path} }}\n}}"
    jobs = re.sub("^}", at_last, printed.stdout, count=1, flags=re.MULTILINE)
    made = Bacula(folder, client=f"{socket.gethostname()}-fd", jobs=jobs)
    try:
        made.start("sd", "fd", "dir")
        yield made
    finally:
        made.kill("sd", "fd", "dir")


@pytest.fixture
def guest(site: Site, new_disk: Callable[..., GuestDisk]) -> Iterator[GuestDisk]:
    """The guest ``web`` of the job ``nightly``."""
    disk = new_disk()
    configure(site, disk)
    (site.folder / "holdstill_nightly.prom").unlink(missing_ok=True)
    yield disk
    for held in site.held():  # by a test that has failed
        site.call("post", "nightly", "--session", str(held["session"]))
    disk.path.unlink(missing_ok=True)


def configure(site: Site, disk: GuestDisk, *, lease: str = "12h") -> None:
    site.configure(CONFIGURATION.format(disk=disk.path, lease=lease, folder=site.folder))


@contextmanager
def waiting_job(bacula: Bacula, gate: Gate) -> Iterator[int]:
    """Start a job, and let it wait at a gate for as long as the block lasts."""
    with gate.shut():
        job = bacula.start_job("nightly")
        gate.wait_until_reached()
        yield job


def test_what_is_restored_is_what_was_on_the_guests_disk(bacula, site, trees, host_state):
    before = host_state()
    job = bacula.start_job("nightly")
    assert bacula.end_of(job).status == "T", bacula.log()
    assert host_state() == before
    assert told_of_the_backup(site.folder) == "ok"
    restored = bacula.restore(job) / str(site.trees / "nightly" / "web").lstrip("/")
    assert_has_the_guests_files(restored, trees)


def test_a_guest_that_cannot_be_held_fails_the_job_and_nothing_is_backed_up(bacula, guest, host_state):
    guest.path.unlink()
    before = host_state()
    assert bacula.run("nightly") == ("f", 0)
    assert host_state() == before
    assert f"ClientBeforeJob: holdstill: {guest.path}, a disk of guest web, does not exist" in bacula.log()


def test_a_job_whose_storage_daemon_dies_lets_go(bacula, site, gate, host_state):
    before = host_state()
    with waiting_job(bacula, gate) as job:
        assert (site.trees / "nightly/web/boot/vmlinuz").exists()
        bacula.kill("sd")
        bacula.start("sd")
    assert bacula.end_of(job).status == "f"
    eventually(lambda: host_state() == before and told_of_the_backup(site.folder) == "failed")


def test_a_cancelled_job_lets_go(bacula, site, gate, host_state):
    before = host_state()
    with waiting_job(bacula, gate) as job:
        assert site.held()
        bacula.cancel(job)
    assert bacula.end_of(job).status == "A"
    eventually(lambda: host_state() == before and told_of_the_backup(site.folder) == "failed")


def test_a_job_cancelled_while_its_guest_is_opened_lets_go_when_it_is_open(bacula, site, host_state):
    before = host_state()
    gate = Gate(site.folder / "slow")
    plugin = site.folder / "plugins" / "slow.py"
    plugin.parent.mkdir()
    plugin.write_text(SLOW.format(gate=str(gate.path)))
    with waiting_job(bacula, gate) as job:
        bacula.cancel(job)
        assert bacula.end_of(job).status == "A"
        assert site.held()
    plugin.unlink()
    eventually(lambda: site.held() == [])
    assert host_state() == before


def test_a_hold_that_did_not_last_to_the_end_fails_the_job(bacula, site, guest, gate):
    configure(site, guest, lease="0.1s")
    with waiting_job(bacula, gate) as job:
        eventually(lambda: site.call("recover").returncode == 0 and site.held() == [])
    assert bacula.end_of(job).status == "E"
    assert "ClientAfterJob: holdstill: " in bacula.log()


def test_what_killed_daemons_held_is_let_go_of_by_the_next_job_after_the_lease(bacula, site, guest, gate):
    configure(site, guest, lease="0.1s")
    with waiting_job(bacula, gate):
        bacula.kill("fd", "sd", "dir")
    bacula.start("sd", "fd", "dir")
    eventually(lambda: [held["state"] for held in site.held()] == ["abandoned"])
    configure(site, guest)
    assert bacula.run("nightly").status == "T"
    assert site.held() == []
