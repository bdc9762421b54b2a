"""The units of contrib/systemd, and what holdstill has systemd do, on real LVM."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from .guest_disk import GuestDisk
from .installed import host_state
from .system import attempt, run, wait_until

UNITS = Path(__file__).parents[3] / "contrib" / "systemd"
INSTALLED = Path("/etc/systemd/system")
CONFIGURATION = """\
guests: {{web: {{disks: [{disk}]}}}}
jobs:
  nightly: {{guests: [web], backup: {{tar: {{to: {archives}, compress: gzip}}}}}}
  others: {{guests: [web], lease: {lease}, release-within: 120}}
  slow: {{guests: [web], backup: {{command: {{run: [sh, -c, sleep 600]}}}}}}
"""
TREE = Path("/run/holdstill/others/web")

pytestmark = pytest.mark.usefixtures("udev_rule", "lvm_filter", "units")


def install(unit: Path, folder: Path) -> None:
    """Install a unit. Where holdstill is in the machine, nothing can be linked to where it is on a host."""
    text = unit.read_text()
    (folder / unit.name).write_text(
        text.replace("/usr/local/sbin/holdstill", shutil.which("holdstill") or "")
    )


@pytest.fixture(scope="module")
def units() -> Iterator[None]:
    """Install the units."""
    for unit in UNITS.iterdir():
        install(unit, INSTALLED)
    run("systemctl", "daemon-reload")
    yield
    for unit in UNITS.iterdir():
        (INSTALLED / unit.name).unlink()
    run("systemctl", "daemon-reload")


@pytest.fixture
def archives(tmp_path: Path, guest_disk: GuestDisk) -> Path:
    """Where the job's archives come; it is configured where units find it."""
    configure(guest_disk, tmp_path)
    return tmp_path


def configure(guest_disk: GuestDisk, archives: Path, lease: str = "1d") -> None:
    config = Path("/etc/holdstill/holdstill.yaml")
    config.parent.mkdir(exist_ok=True)
    config.write_text(CONFIGURATION.format(disk=guest_disk.path, archives=archives, lease=lease))
    config.chmod(0o600)


def told(unit: str, what: str) -> str:
    return run("systemctl", "show", "--property", what, "--value", unit).strip()


def held() -> list[str]:
    return [hold["state"] for hold in json.loads(attempt("holdstill", "held", "--json").stdout)]


def drop_in(unit: str, text: str) -> None:
    folder = Path(f"/run/systemd/system/{unit}.d")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "test.conf").write_text(text)
    run("systemctl", "daemon-reload")


def test_a_unit_runs_a_job_and_its_mounts_are_everybodys(archives: Path) -> None:
    before = host_state()
    run("systemctl", "start", "holdstill@slow")
    wait_until(lambda: told("holdstill@slow", "StatusText") == "backup", "it tells its phase")
    namespace = Path(f"/proc/{told('holdstill@slow', 'MainPID')}/ns/mnt").readlink()
    assert namespace == Path("/proc/self/ns/mnt").readlink(), "«holdstill recover» could not see its mounts"
    assert "/run/holdstill/slow/web" in Path("/proc/mounts").read_text()
    run("systemctl", "stop", "holdstill@slow")
    assert host_state() == before
    run("systemctl", "start", "holdstill@nightly")
    wait_until(lambda: told("holdstill@nightly", "ActiveState") in {"inactive", "failed"}, "it ends")
    assert told("holdstill@nightly", "Result") == "success"
    assert list(archives.rglob("*.tar.gz"))
    assert host_state() == before


@pytest.mark.usefixtures("archives")
def test_a_process_that_tells_nothing_any_more_is_ended_and_its_hold_recovered() -> None:
    drop_in("holdstill@.service", "[Service]\nWatchdogSec=20\n")
    before = host_state()
    run("systemctl", "start", "holdstill@slow")
    wait_until(lambda: told("holdstill@slow", "StatusText") == "backup", "it is at work")
    os.kill(int(told("holdstill@slow", "MainPID")), signal.SIGSTOP)
    wait_until(lambda: told("holdstill@slow", "Result") == "watchdog", "systemd's watchdog has ended it")
    wait_until(lambda: held() == [], "it is recovered")
    attempt("systemctl", "kill", "holdstill@slow")  # the backup itself, which holdstill cannot know
    assert host_state() == before


@pytest.mark.usefixtures("archives")
def test_a_release_outlives_the_service_that_kept_the_tree_open_and_asked_for_it() -> None:
    before = host_state()
    script = (
        f"holdstill pre others; cd {TREE}; holdstill post others --detach; echo asked > /run/asked; sleep 600"
    )
    run("systemd-run", "--unit=agent", "sh", "-c", script)
    wait_until(Path("/run/asked").exists, "the service has asked")
    assert held() == ["living"]
    run("systemctl", "stop", "agent")
    assert attempt("holdstill", "held", "others", "--wait").returncode == 0
    assert held() == []
    assert host_state() == before
    units = ("systemctl", "list-units", "--all", "--plain", "--no-legend", "holdstill-release*")
    wait_until(lambda: "holdstill-" not in run(*units), "its unit is gone with it")


def test_the_timer_lets_go_of_what_nobody_came_for(archives: Path, guest_disk: GuestDisk) -> None:
    configure(guest_disk, archives, lease="1s")
    drop_in(
        "holdstill-recover.timer", "[Timer]\nOnBootSec=\nOnUnitInactiveSec=\nOnActiveSec=1s\nAccuracySec=1s\n"
    )
    before = host_state()
    run("holdstill", "pre", "others", "--session", "of $HOME and %n")
    run("systemctl", "start", "holdstill-recover.timer")
    wait_until(lambda: held() == [], "the timer has had it let go of")
    run("systemctl", "stop", "holdstill-recover.timer")
    assert host_state() == before
    assert attempt("holdstill", "post", "others", "--session", "of $HOME and %n").returncode == 79


@pytest.mark.usefixtures("archives")
def test_a_session_goes_to_the_background_as_it_is() -> None:
    session = "of $HOME, ${HOME} and %n"
    run("holdstill", "pre", "others", "--session", session)
    run("holdstill", "post", "others", "--session", session, "--detach")
    assert attempt("holdstill", "held", "--wait").returncode == 0
    assert held() == []


@pytest.mark.usefixtures("archives")
def test_a_hold_lasts_as_long_as_the_unit_that_needs_it() -> None:
    before = host_state()
    (INSTALLED / "backup.service").write_text(
        "[Unit]\nRequires=holdstill-hold@others.service\nAfter=holdstill-hold@others.service\n"
        "[Service]\nType=oneshot\nPrivateTmp=yes\nProtectSystem=strict\nNoNewPrivileges=yes\n"
        f"CapabilityBoundingSet=CAP_DAC_READ_SEARCH\nExecStart=cat {TREE}/etc/hostname\n"
    )
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "backup")
    wait_until(lambda: told("holdstill-hold@others", "ActiveState") != "deactivating", "its hold ends")
    wait_until(lambda: held() == [], "nothing is held")
    assert told("holdstill-hold@others", "Result") == "success"
    assert told("backup", "Result") == "success"
    assert host_state() == before
    (INSTALLED / "backup.service").unlink()
