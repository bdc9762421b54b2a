"""The script's own case, «fork umount»: the backup software's service keeps the trees open; and the last resort."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .guest_disk import GuestDisk
from .installed import Site, host_state
from .system import attempt, run, wait_until

pytestmark = pytest.mark.usefixtures("udev_rule", "lvm_filter")

CONFIGURATION = """\
guests:
  web: {{disks: [{disk}]}}
jobs:
  nightly:
    guests: [web]
    release-within: {within}
    around: [{around}]
"""
DAEMON = """\
import signal, subprocess, sys
from pathlib import Path

path, said, *release = sys.argv[1:]
kept = []

def reads(*_):
    kept.append(open(path, "rb"))
    Path(said).write_text("reads")

def lets_go(*_):
    kept.pop().close()
    Path(said).write_text("has let go")

def releases(*_):
    done = subprocess.run(release, capture_output=True, text=True)
    Path(said).write_text(f"{done.returncode} {done.stderr}")

signal.signal(signal.SIGUSR1, reads)
signal.signal(signal.SIGUSR2, lets_go)
signal.signal(signal.SIGHUP, releases)
Path(said).write_text("ready")
while True:
    signal.pause()
"""
NAME = "lab-reader"
UNIT = Path(f"/run/systemd/system/{NAME}.service")


class Reader:
    """A service of the backup software's, which reads a file of the tree when it is told to."""

    def __init__(self, folder: Path, site: Site, settings: str = "") -> None:
        self._said = folder / "said"
        program = folder / "reader.py"
        program.write_text(DAEMON)
        words = [program, site.tree / "etc/hostname", self._said, *site.argv("post", "nightly", "--strict")]
        line = " ".join(map(str, (sys.executable, *words)))
        UNIT.write_text(f"[Service]\nExecStart={line}\n{settings}\n")
        run("systemctl", "daemon-reload")
        run("systemctl", "start", NAME)
        self.expect("ready")

    @property
    def pid(self) -> str:
        """Which process it is."""
        return run("systemctl", "show", "--property=MainPID", "--value", NAME).strip()

    @property
    def runs(self) -> bool:
        return run("systemctl", "show", "--property=ActiveState", "--value", NAME).strip() == "active"

    def does(self, what: str, number: signal.Signals) -> None:
        run("systemctl", "kill", f"--signal={number.name}", "--kill-who=main", NAME)
        self.expect(what)

    def expect(self, what: str) -> None:
        wait_until(lambda: self.said.startswith(what), f"the service says «{what}»")

    @property
    def said(self) -> str:
        return self._said.read_text() if self._said.exists() else ""


@pytest.fixture
def new_reader(tmp_path: Path, site: Site) -> Iterator[Callable[..., Reader]]:
    yield lambda settings="": Reader(tmp_path, site, settings)
    attempt("systemctl", "stop", NAME)
    UNIT.unlink(missing_ok=True)
    run("systemctl", "daemon-reload")
    attempt("systemctl", "reset-failed", NAME)


def configure(site: Site, disk: GuestDisk, grace: str = "1s", within: str = "60s") -> None:
    around = f"service: {{units: [{NAME}], grace: {grace}}}"
    site.write(CONFIGURATION.format(disk=disk.path, within=within, around=around))


def test_a_service_that_keeps_the_tree_open_is_stopped_and_runs_again(
    site: Site, guest_disk: GuestDisk, new_reader: Callable[..., Reader]
) -> None:
    configure(site, guest_disk)
    before, reader = host_state(), new_reader()
    site.call("check")
    site.call("pre", "nightly")
    reader.does("reads", signal.SIGUSR1)
    first = reader.pid
    site.call("post", "nightly", "--strict")
    assert reader.runs
    assert reader.pid != first
    assert host_state() == before


def test_a_service_that_lets_go_in_time_is_not_stopped(
    site: Site, guest_disk: GuestDisk, new_reader: Callable[..., Reader]
) -> None:
    configure(site, guest_disk, grace="10m")
    before, reader = host_state(), new_reader()
    site.call("pre", "nightly")
    reader.does("reads", signal.SIGUSR1)
    first = reader.pid
    with subprocess.Popen(site.argv("post", "nightly", "--strict")) as post:
        assert post.poll() is None
        reader.does("has let go", signal.SIGUSR2)
        assert post.wait(600) == 0
    assert reader.pid == first
    assert host_state() == before


def test_a_service_that_only_sees_the_mount_in_a_namespace_of_its_own_is_not_stopped(
    site: Site, guest_disk: GuestDisk, new_reader: Callable[..., Reader]
) -> None:
    configure(site, guest_disk)
    before, reader = host_state(), new_reader("PrivateMounts=yes")
    site.call("pre", "nightly")
    first = reader.pid
    assert str(site.tree) in Path(f"/proc/{first}/mountinfo").read_text(), "the mount has come there, too"
    site.call("post", "nightly", "--strict")
    assert reader.pid == first
    assert host_state() == before


def test_a_release_that_is_killed_while_the_service_is_stopped_is_recovered(
    site: Site, guest_disk: GuestDisk, new_reader: Callable[..., Reader]
) -> None:
    configure(site, guest_disk)
    before, reader = host_state(), new_reader()
    site.call("pre", "nightly")
    reader.does("reads", signal.SIGUSR1)
    with (site.tree / "etc/fstab").open(), subprocess.Popen(site.argv("post", "nightly")) as post:
        wait_until(lambda: not reader.runs, "the service is stopped")
        post.send_signal(signal.SIGKILL)
    listed = attempt(*site.argv("held")).stdout
    assert f"systemctl start {NAME}.service" in listed
    site.call("recover")
    assert reader.runs
    assert host_state() == before


def test_a_service_that_does_not_come_back_is_an_alarm(
    site: Site, guest_disk: GuestDisk, new_reader: Callable[..., Reader], tmp_path: Path
) -> None:
    configure(site, guest_disk)
    broken = tmp_path / "broken"
    before, reader = host_state(), new_reader(f"ExecStartPre=/usr/bin/test ! -e {broken}")
    site.call("pre", "nightly")
    reader.does("reads", signal.SIGUSR1)
    broken.touch()
    done = attempt(*site.argv("post", "nightly", "--strict"))
    assert done.returncode == 81
    assert "does not come back" in done.stderr
    assert host_state() == before, "all else is let go of"
    broken.unlink()
    site.call("recover")
    assert reader.runs


def test_a_release_in_a_unit_that_the_service_is_ordered_after_does_not_wait_for_it(
    site: Site, guest_disk: GuestDisk, new_reader: Callable[..., Reader]
) -> None:
    """As the unit that recovers at boot, and by its timer: systemd starts the service when that has ended."""
    configure(site, guest_disk)
    before, reader = host_state(), new_reader()
    site.call("pre", "nightly")
    reader.does("reads", signal.SIGUSR1)
    first = reader.pid
    unit = ["--wait", "--quiet", "--property=Type=oneshot", f"--property=Before={NAME}.service"]
    run("systemd-run", *unit, *site.argv("post", "nightly", "--strict"))
    wait_until(lambda: reader.runs, "the service runs again")
    assert reader.pid != first
    assert host_state() == before


def test_a_release_that_the_service_itself_has_started_does_not_stop_it(
    site: Site, guest_disk: GuestDisk, new_reader: Callable[..., Reader]
) -> None:
    configure(site, guest_disk, within="2s")
    before, reader = host_state(), new_reader()
    site.call("pre", "nightly")
    reader.does("reads", signal.SIGUSR1)
    first = reader.pid
    reader.does("81", signal.SIGHUP)
    assert "--detach" in reader.said
    assert reader.pid == first
    reader.does("has let go", signal.SIGUSR2)
    site.call("recover")
    assert host_state() == before


# Rebooting


def scheduled() -> str:
    """What systemd-logind has scheduled."""
    path = Path("/run/systemd/shutdown/scheduled")
    return path.read_text() if path.exists() else ""


@pytest.fixture
def last_resort(site: Site, guest_disk: GuestDisk) -> Iterator[Site]:
    """A job that is held, and asks for a reboot if it cannot let go."""
    around = "reboot: {really: true, delay: 30m}"
    site.write(CONFIGURATION.format(disk=guest_disk.path, within="1s", around=around))
    yield site
    attempt("shutdown", "-c")
    site.call("recover")


def test_a_reboot_is_asked_for_once_and_called_off(last_resort: Site) -> None:
    last_resort.call("check")
    last_resort.call("pre", "nightly")
    with (last_resort.tree / "etc/hostname").open():
        done = attempt(*last_resort.argv("post", "nightly", "--strict"))
        assert done.returncode == 81
        assert "The host reboots at" in done.stderr
        [hold] = json.loads(attempt(*last_resort.argv("held", "--json")).stdout)
        assert hold["run"] in scheduled()
        assert "MODE=reboot" in scheduled()
        assert "The host reboots at" in last_resort.call("reboot")
        last_resort.call("reboot", "--cancel")
        assert not scheduled()
        assert last_resort.call("reboot") == "No reboot is scheduled.\n"
        assert "There will be no reboot" in last_resort.refused("recover")
        assert not scheduled()


def test_a_reboot_is_called_off_when_all_is_let_go_of_meanwhile(last_resort: Site) -> None:
    last_resort.call("pre", "nightly")
    with (last_resort.tree / "etc/hostname").open():
        last_resort.refused("post", "nightly", "--strict")
        assert scheduled()
    last_resort.call("recover")
    assert not scheduled()


def test_somebody_elses_reboot_is_left_alone(last_resort: Site) -> None:
    run("shutdown", "-r", "+50", "for a new kernel")
    before = scheduled()
    last_resort.call("pre", "nightly")
    with (last_resort.tree / "etc/hostname").open():
        assert "somebody has scheduled" in last_resort.refused("post", "nightly", "--strict")
        assert "Somebody else" in last_resort.call("reboot")
        assert "Somebody else" in last_resort.refused("reboot", "--cancel")
        assert scheduled() == before
