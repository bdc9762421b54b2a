"""Proxmox VE's vzdump, by a double that does what its source says: it cannot be installed here.

It runs its hook script for each phase, with the phase, and for a guest's phases its mode and number, in an environment
of a few variables of its own and no PATH; what the script prints goes to the log, to the end. A script that fails in
job-init ends the job before it has begun; in another phase of the job, it has the script called for job-abort; in one
of a guest, it fails that guest's image, and has the script called for backup-abort, which may fail as it likes.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from holdstill.callers import Given, hook_of
from holdstill.errors import UsageError

from .conftest import LIMIT, read


class HookError(Exception):
    """A script that failed."""


@dataclass
class Vzdump:
    """A job of vzdump's."""

    script: Path
    log: list[str] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    over: Callable[[], object] | None = None
    "When it is stopped, in job-start: it kills its script then."

    def hook(self, phase: str, *task: str) -> None:
        own = {"STOREID": "local", "DUMPDIR": "/var/lib/vz/dump"}
        own |= {"VMTYPE": "qemu", "HOSTNAME": "web", "TARGET": "web.vma"} if task else {}
        process = subprocess.Popen(
            [self.script, phase, *task], env=own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        if self.over and phase == "job-start":
            self.over()
            process.kill()
        self.log += process.communicate(timeout=LIMIT)[0].splitlines()
        if process.returncode:
            raise HookError(f"command '{self.script} {phase}' failed: exit code {process.returncode}")

    def leniently(self, phase: str, *task: str) -> None:
        try:
            self.hook(phase, *task)
        except HookError as error:
            self.log.append(str(error))

    def run(self, *guests: int, fails: int = 0) -> bool:
        """Run a job; tell whether it succeeded."""
        self.fails, self.images = fails, []
        self.hook("job-init")
        try:
            self.hook("job-start")
            for guest in guests:
                self.backup(guest)
            self.hook("job-end")
        except HookError as error:
            self.failed = str(error)
            self.leniently("job-abort")
            return False
        return not fails

    def backup(self, guest: int) -> None:
        task = ("snapshot", str(guest))
        try:
            for phase in ("backup-start", "pre-stop", "pre-restart", "post-restart"):
                self.hook(phase, *task)
            if guest == self.fails:
                raise HookError("the image failed")
            self.images.append(guest)
            self.hook("backup-end", *task)
        except HookError:
            self.leniently("backup-abort", *task)
        self.leniently("log-end", *task)


@pytest.fixture
def copy(place) -> Path:
    """Where the files go that the script backs up."""
    return place.root / "copy"


@pytest.fixture
def vzdump(place, copy) -> Vzdump:
    """Its script is the one that our page has somebody install, with another program that reads the files."""
    client = place.root / "client"
    client.write_text(f'#!/bin/sh\nfolder=${{2#*:}}\ncp --recursive "$folder" {copy}\n')
    client.chmod(0o755)
    script = place.root / "vzdump-nightly"
    printed = place.run("caller", "vzdump", "nightly", "--file", "script.sh").out
    script.write_text(printed.replace("proxmox-backup-client", str(client)))
    script.chmod(0o755)
    return Vzdump(script)


@pytest.mark.usefixtures("lingering")
def test_beside_its_images_there_is_a_backup_of_what_was_held(place, vzdump, copy):
    assert vzdump.run(100)
    assert (vzdump.images, vzdump.log) == ([100], [])
    assert read(copy)["web/disk1"] == "the guest's data"
    assert place.left() == []


def test_if_the_guests_cannot_be_held_its_job_fails(place, vzdump, copy):
    place.disk.unlink()
    assert not vzdump.run(100)
    assert (vzdump.images, copy.exists()) == ([], False)
    [reason] = vzdump.log
    assert reason.startswith("holdstill: ")
    assert place.left() == []


def test_if_nobody_held_the_guests_there_is_nothing_to_back_up(vzdump, copy):
    with pytest.raises(HookError):
        vzdump.hook("job-end")
    assert not copy.exists()


def test_files_that_cannot_be_backed_up_fail_its_job(place, vzdump):
    (place.root / "client").write_text("#!/bin/sh\nexit 255\n")
    assert not vzdump.run(100)
    assert vzdump.failed.endswith("job-end' failed: exit code 255")
    assert (vzdump.images, vzdump.log) == ([100], [])
    assert place.left() == []


def test_an_image_that_fails_keeps_no_files_from_being_backed_up(place, vzdump, copy):
    assert not vzdump.run(100, fails=100)
    assert (vzdump.images, vzdump.log) == ([], [])
    assert read(copy)["web/disk1"] == "the guest's data"
    assert place.left() == []


def test_stopped_between_its_images_it_lets_go(place, vzdump, copy):
    vzdump.hook("job-start")
    vzdump.hook("backup-abort", "snapshot", "100")
    vzdump.hook("job-abort")
    assert (vzdump.log, copy.exists()) == ([], False)
    assert place.left() == []


def test_its_script_killed_while_the_guests_are_opened_leaves_nothing_in_the_end(place, vzdump, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    vzdump.over = lambda: place.eventually(gate.reached.exists)
    with pytest.raises(HookError):
        vzdump.hook("job-start")
    gate.opened.touch()
    vzdump.hook("job-abort")
    assert vzdump.log == []
    assert place.left() == []


def test_a_hold_that_did_not_last_fails_its_job(overflowing, vzdump):
    assert not vzdump.run()
    assert vzdump.failed.endswith("job-end' failed: exit code 79")
    assert len(vzdump.log) == 1
    assert overflowing.left() == []


@pytest.mark.parametrize(
    "phase", ["job-init", "backup-start", "backup-end", "backup-abort", "log-end", "pre-stop", "yet-to-come"]
)
def test_other_phases_do_nothing(phase):
    assert hook_of("vzdump")(Given("nightly", [phase, "snapshot", "100"], {})).do == ""


def test_a_call_that_tells_no_phase_is_refused():
    with pytest.raises(UsageError, match="vzdump tells the phase"):
        hook_of("vzdump")(Given("nightly", [], {}))
