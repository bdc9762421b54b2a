"""Bacula backs up a guest on real LVM, and its file daemon, a service of systemd's, is stopped where it must be."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.host.callers.bacula import Bacula
from tests.host.callers.gate import Gate

from ..guest_disk import GuestDisk, make_guest_disk
from ..installed import Site, host_state
from ..system import attempt, run, wait_until

pytestmark = pytest.mark.usefixtures("udev_rule")

CONFIGURATION = """
guests:
  web: {{disks: [{disk}], snapshot: {{lvm: {{size: 32M}}}}}}
around:
  - service: {{units: [bacula-fd], grace: 1s, stop-within: 30m, start-within: 30m}}
jobs:
  nightly: {{guests: [web], release-within: 30m}}
  weekly: {{guests: [web], release-within: 30m}}
"""
DROP_IN = Path("/run/systemd/system/bacula-fd.service.d/lab.conf")
LEFT_BEHIND = """#!/bin/sh
test -e {file} || exit
sleep infinity < {file} > /dev/null 2>&1 &
"""
LARGE = "srv/large"
"A file that does not fit into what the daemons keep on its way from one to the other."


@pytest.fixture(scope="module")
def guest(hostvg: str) -> GuestDisk:
    """A guest with a large file."""
    return make_guest_disk(hostvg, "web", more_files={LARGE: os.urandom(16 << 20)})


@pytest.fixture(scope="module")
def site(guest: GuestDisk, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The jobs, which Bacula calls for."""
    made = Site(tmp_path_factory.mktemp("site"))
    made.write(CONFIGURATION.format(disk=guest.path))
    return made


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    """What a job of Bacula's reads before it reads the tree."""
    return Gate(tmp_path_factory.mktemp("gate") / "gate")


@pytest.fixture(scope="module")
def jobs(site: Site, gate: Gate, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What «holdstill caller» prints. The first job waits at the gate; the second one leaves a program in the tree."""
    program = tmp_path_factory.mktemp("program") / "left-behind"
    program.write_text(LEFT_BEHIND.format(file=site.trees / "weekly/web/etc/hostname"))
    program.chmod(0o755)
    first = f"  Include {{ Options {{ readfifo = yes }}; File = {gate.path} }}\n  Include"
    nightly = site.call("caller", "bacula", "nightly").replace("  Include", first, 1)
    post = "post weekly --session '%j'"
    last = f"  RunScript {{ RunsWhen = Before; RunsOnClient = yes; Command = {program} }}\n}}\n"
    weekly = (
        site.call("caller", "bacula", "weekly").replace(post, f"{post} --detach").removesuffix("}\n") + last
    )
    return nightly + weekly


@pytest.fixture(scope="module")
def bacula(jobs: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bacula]:
    """The daemons; Debian's own service reads the files."""
    made = Bacula(tmp_path_factory.mktemp("bacula"), client=f"{socket.gethostname()}-fd", jobs=jobs)
    DROP_IN.parent.mkdir(parents=True)
    DROP_IN.write_text(f"[Service]\nEnvironmentFile=\nEnvironment=CONFIG={made.configuration('fd')}\n")
    run("systemctl", "daemon-reload")
    try:
        made.start("sd", "dir")
        run("systemctl", "start", "bacula-fd")
        wait_until(lambda: made.listens("fd"), "the file daemon listens")
        yield made
    finally:
        made.kill("sd", "dir")
        run("systemctl", "stop", "bacula-fd")
        DROP_IN.unlink()
        run("systemctl", "daemon-reload")


def daemon() -> str:
    """The file daemon's process."""
    return run("systemctl", "show", "--property=MainPID", "--value", "bacula-fd").strip()


def reads(path: Path) -> bool:
    """Tell whether the file daemon has a file open."""
    return str(path) in attempt("sh", "-c", f"readlink /proc/{daemon()}/fd/*").stdout.splitlines()


def was_started_again(first: str) -> bool:
    """Tell whether the file daemon is another process than it was first."""
    return daemon() not in {first, "0"}


def test_what_is_restored_is_what_was_on_the_guests_disk(
    bacula: Bacula, site: Site, guest: GuestDisk
) -> None:
    before, first = host_state(), daemon()
    job = bacula.start_job("nightly")
    assert bacula.end_of(job).status == "T", bacula.log()
    assert host_state() == before
    assert daemon() == first, "it has let go in time, and is not stopped"
    tree = bacula.restore(job) / str(site.tree).lstrip("/")
    for files, folder in ((guest.root_files, tree), (guest.boot_files, tree / "boot")):
        for name, content in files.items():
            assert (folder / name).read_bytes() == content, name


def test_a_file_daemon_that_hangs_in_the_tree_is_stopped_and_started_again(
    bacula: Bacula, site: Site, gate: Gate
) -> None:
    """Its storage daemon hangs, and somebody lets go by hand."""
    before, first = host_state(), daemon()
    with gate.shut():
        bacula.start_job("nightly")
        gate.wait_until_reached()
        bacula.hang("sd")
    wait_until(lambda: reads(site.tree / LARGE), "the file daemon reads the large file")
    [hold] = json.loads(attempt(*site.argv("held", "--json")).stdout)
    site.call("post", "nightly", "--session", hold["session"], "--strict")
    assert was_started_again(first)
    assert host_state() == before
    bacula.kill("sd", "dir")
    bacula.start("sd", "dir")


def test_a_file_daemon_is_stopped_by_the_post_that_it_has_called_itself(bacula: Bacula, site: Site) -> None:
    """With «--detach», for what one of its scripts has left behind in the tree."""
    before, first = host_state(), daemon()
    bacula.start_job("weekly")
    wait_until(lambda: not Path(f"/proc/{first}").exists(), "the file daemon is stopped")
    site.call("held", "weekly", "--wait=30m")
    assert was_started_again(first)
    assert host_state() == before
