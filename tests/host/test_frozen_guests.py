"""Whole guests made quiet by their hypervisor's own command, and let go of whoever is killed.

The commands are stand-ins, which keep in a file what they did; libvirt's own is tried with its test driver.
"""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from .processes import parent, processes_with
from .scene import eventually

STAND_IN = """#!/bin/sh
case $* in *pause*|*domfs*) echo "$*" >> {0}/calls;; esac
case $* in *domfs*) if test -e {0}/says; then cat {0}/says >&2; exit 1; fi;; esac
if test -e {0}/deaf-to-$1; then rm {0}/deaf-to-$1; exit 0; fi
case $* in
  *domfsfreeze*|pause*) touch {0}/quiet;;
  *domfsthaw*|unpause*) rm -f {0}/quiet;;
  list*) echo 'Name ID Mem VCPUs State Time(s)'
         if test -e {0}/quiet; then echo 'web 1 900 1 --p--- 1.0'; else echo 'web 1 900 1 -b---- 1.0'; fi;;
  *domstate*) echo running;;
  *) exit 9;;
esac
"""
KINDS = {
    "libvirt": ("virsh", "libvirt: {domain: web, mount-points: [/, /srv]"),
    "xen-pause": ("xl", "xen-pause: {domain: web"),
}
NODE = """<node>
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
    <name>idle</name><memory>65536</memory><os><type>hvm</type></os>
    <test:runstate>5</test:runstate>
  </domain>
</node>"""
BY_HAND = {
    "libvirt": "virsh --connect=qemu:///system domfsthaw --domain=web",
    "xen-pause": "xl unpause web",
}


class Guest:
    """A guest whose hypervisor's command is a stand-in."""

    def __init__(self, scene, kind):
        self.scene, self.kind = scene, kind
        command, self._step = KINDS[kind]
        scene.program(command, STAND_IN.format(scene.folder))

    def step(self, more=""):
        return f"{self._step}{more}}}"

    @property
    def calls(self):
        """What has been asked of it."""
        calls = self.scene.folder / "calls"
        return calls.read_text().splitlines() if calls.exists() else []


@pytest.fixture(params=KINDS)
def guest(request, scene):
    return Guest(scene, request.param)


def kill(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def guard(process):
    [found] = [pid for pid in processes_with("thaw_guard.py") if parent(pid) == process.pid]
    return found


def test_it_is_quiet_while_the_snapshot_is_made_and_not_while_the_backup_runs(scene, disk, guest):
    scene.configure(disk, guest.step())
    process = scene.start()
    assert scene.reached("snapshot")
    assert scene.quiet
    scene.go_on("snapshot")
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert not scene.quiet
    assert ("--mountpoint=/ --mountpoint=/srv" in guest.calls[0]) == (guest.kind == "libvirt")
    assert len(guest.calls) == 2


def test_it_is_let_go_of_by_the_run_when_the_guard_is_killed(scene, disk, guest):
    scene.configure(disk, guest.step())
    process = scene.start()
    assert scene.reached("snapshot")
    kill(guard(process))
    scene.go_on("snapshot")
    process.communicate(timeout=90)
    assert not scene.quiet
    assert scene.site.held() == []


def test_it_is_let_go_of_by_recover_when_both_are_killed(scene, disk, guest):
    scene.configure(disk, guest.step())
    process = scene.start()
    assert scene.reached("snapshot")
    kill(guard(process), process.pid)
    process.communicate()
    assert scene.quiet
    by_hand = [hold["by_hand"] for held in scene.site.held() for hold in held["holds"]]
    assert BY_HAND[guest.kind] in by_hand
    assert scene.site.call("recover").returncode == 0
    assert not scene.quiet
    scene.go_on("snapshot")


@pytest.mark.parametrize("guest", ["xen-pause"], indirect=True)
def test_a_guest_that_somebody_else_has_paused_is_refused_and_stays_so(scene, disk, guest):
    scene.configure(disk, guest.step())
    (scene.folder / "quiet").touch()
    result = scene.site.call("run", "nightly")
    assert result.returncode == 69
    assert "is paused already" in result.stderr
    assert scene.quiet


@pytest.mark.parametrize("guest", ["xen-pause"], indirect=True)
def test_a_pause_that_did_nothing_and_succeeded_is_a_failure(scene, disk, guest):
    scene.configure(disk, guest.step())
    (scene.folder / "deaf-to-pause").touch()
    code, told = scene.run()
    assert code == 71
    assert "Xen's domain web goes on" in told["failures"][0]["sentence"]
    assert guest.calls == ["pause web"]
    assert scene.site.held() == []


@pytest.mark.parametrize("guest", ["xen-pause"], indirect=True)
def test_an_unpause_that_did_nothing_and_succeeded_is_done_again(scene, disk, guest):
    scene.configure(disk, guest.step())
    (scene.folder / "deaf-to-unpause").touch()
    scene.go_on("snapshot")
    scene.run()
    assert not scene.quiet
    assert guest.calls.count("unpause web") > 1
    assert scene.site.held() == []


@pytest.mark.parametrize("guest", ["xen-pause"], indirect=True)
def test_a_guest_that_goes_on_is_not_unpaused_again(scene, disk, guest):
    """Newer ones count: it would cancel somebody else's pause."""
    scene.configure(disk, guest.step())
    process = scene.start()
    assert scene.reached("snapshot")
    kill(process.pid)
    process.communicate()
    assert eventually(lambda: not scene.quiet)
    scene.go_on("snapshot")
    assert scene.site.call("recover").returncode == 0
    assert guest.calls == ["pause web", "unpause web"]


@pytest.mark.parametrize("guest", ["libvirt"], indirect=True)
@pytest.mark.parametrize(
    "says",
    [
        "Command guest-fsfreeze-freeze has been disabled: the agent is in frozen state",
        "The command guest-fsfreeze-freeze-list has been disabled for this instance",
        "Requested operation is not valid: domain is already quiesced",
    ],
)
def test_a_guest_that_somebody_else_has_frozen_stays_so(scene, disk, guest, says):
    scene.configure(disk, guest.step())
    (scene.folder / "says").write_text(says)
    code, told = scene.run()
    assert code == 71
    assert says in told["failures"][0]["sentence"]
    assert [call.split()[1] for call in guest.calls] == ["domfsfreeze"]
    assert scene.site.held() == []


@pytest.mark.parametrize("guest", ["libvirt"], indirect=True)
def test_that_there_is_nothing_to_thaw_is_no_failure(scene, disk, guest):
    scene.configure(disk, guest.step())
    process = scene.start()
    assert scene.reached("snapshot")
    (scene.folder / "says").write_text("Requested operation is not valid: domain is not quiesced")
    scene.go_on("snapshot")
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert scene.site.held() == []


@pytest.fixture
def virsh():
    if not shutil.which("virsh"):
        pytest.skip("needs virsh: install libvirt-clients")


@pytest.mark.usefixtures("virsh")
def test_libvirts_own_command_takes_our_words(scene, disk):
    scene.configure(disk, "libvirt: {domain: test, connection: 'test:///default', mount-points: [/, /boot]}")
    scene.go_on("snapshot")
    code, told = scene.run()
    assert code == 0, told
    assert [one["why_not"] for one in told["applications"]] == ["", ""]


@pytest.mark.usefixtures("virsh")
def test_what_libvirt_does_not_know_is_told_before_anything_is_held(scene, disk):
    scene.configure(disk, "libvirt: {domain: no-such-guest, connection: 'test:///default'}")
    result = scene.site.call("run", "nightly")
    assert result.returncode == 69
    assert "failed to get domain 'no-such-guest'" in result.stderr


@pytest.mark.usefixtures("virsh")
def test_a_domain_that_does_not_run_is_not_frozen_and_nothing_stays_held(scene, disk, tmp_path):

    node = tmp_path / "node.xml"
    node.write_text(NODE)
    scene.configure(disk, f"libvirt: {{domain: idle, connection: 'test://{node}'}}")
    code, told = scene.run()
    assert code == 71
    assert "domain is not running" in told["failures"][0]["sentence"]
    assert scene.site.held() == []
