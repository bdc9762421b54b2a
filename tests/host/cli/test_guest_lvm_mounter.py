"""contrib/guest_lvm_mounter in the place of the script: its calls, variables, exit codes and lines in syslog."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from holdstill.host import detached

from ..test_services import CONFIGURATION, Service, _filled

SCRIPT = Path(__file__).parents[3] / "contrib" / "guest_lvm_mounter" / "guest_lvm_mounter"

in_the_background = pytest.mark.skipif(
    detached.SYSTEMD.is_dir(), reason="where systemd runs, it is another way"
)


class Mounter:
    """The script as a site installs it, with its own job; and syslog, as it hears it."""

    def __init__(self, place, listener):
        self._place, self._listener = place, listener
        self.path = place.root / "guest_lvm_mounter"
        text = SCRIPT.read_text()
        for line, ours in {
            "job=guests": "job=nightly",
            "trees=/run/holdstill": f"trees={place.trees}",
            "holdstill=/usr/local/sbin/holdstill": f"holdstill={place.command[0]}",
        }.items():
            assert text.count(f"\n{line}\n") == 1
            text = text.replace(f"\n{line}\n", f"\n{ours}\n")
        assert text.count("    logger ") == 1
        self.path.write_text(text.replace("    logger ", f"    logger --socket {listener.getsockname()} "))
        self.path.chmod(0o755)

    def call(self, *words, **variables):
        """Call it, with variables in its environment."""
        assigned = [f"{name}={value}" for name, value in variables.items()]
        return self._place.shell(["env", *assigned, str(self.path), *words])

    def said(self):
        """What it has told syslog since we last asked, without times and process ids."""
        told = []
        while True:
            try:
                told.append(self._listener.recv(65536).decode())
            except BlockingIOError:
                return [
                    re.sub(r"^(<\d+>).{15} (\S+)\[\d+\]:", r"\1\2:", line.rstrip("\n\0")) for line in told
                ]


@pytest.fixture
def mounter(place):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(place.root / "log"))
        listener.setblocking(False)
        yield Mounter(place, listener)


def lines(*told):
    """Syslog's lines: ``daemon.info`` is 30, ``daemon.err`` 27."""
    return [f"<{30 if good else 27}>guest_lvm_mounter: {text}" for good, text in told]


# Its calls


def test_mount_holds_and_umount_lets_go(place, mounter):
    assert mounter.call("mount").silent
    assert (place.tree / "disk1").read_text() == "the guest's data"
    assert mounter.call("umount").silent
    assert place.left() == []
    assert mounter.said() == lines((True, "mount: done"), (True, "umount: done"))


def test_mount_again_takes_a_fresh_hold_and_umount_again_is_no_failure(place, mounter):
    for _ in range(2):
        assert mounter.call("mount").silent
    assert len(place.held()) == 1
    for _ in range(2):
        assert mounter.call("umount").silent
    assert place.left() == []


@in_the_background
def test_fork_answers_at_once_and_goes_on_in_the_background(place, mounter, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    assert mounter.call("fork", "mount").silent
    assert [held["state"] for held in place.held()] == ["living"]
    gate.opened.touch()
    assert place.run("held", "--wait").code == 0
    assert place.tree.exists()
    assert mounter.call("fork", "umount").silent
    assert place.run("held", "--wait").code == 0
    assert place.left() == []
    assert mounter.said() == lines((True, "fork mount: begun"), (True, "fork umount: begun"))


# Exit codes


@pytest.mark.parametrize(
    "words",
    [[], ["fork"], ["unmount"], ["mount", "web"], ["fork", "mount", "web"], ["mount", "fork"], ["-h"], [""]],
)
def test_a_wrong_call_is_64(place, mounter, words):
    result = mounter.call(*words)
    assert (result.code, result.out) == (64, "")
    assert result.err == "usage: guest_lvm_mounter [fork] mount|umount\n"
    assert place.left() == []


@pytest.mark.parametrize("words", [["mount"], ["fork", "mount"]])
def test_a_wrong_configuration_is_78_and_told_to_the_caller_and_to_syslog(place, mounter, words):
    place.write(open_="strangr")
    result = mounter.call(*words)
    assert (result.code, result.out) == (78, "")
    assert "did you mean 'stranger'" in result.err
    assert mounter.said() == lines(
        (False, result.err.rstrip("\n")), (False, f"{' '.join(words)}: failed with exit code 78")
    )


def test_what_cannot_be_held_fails_and_nothing_is_there(place, mounter):
    place.write(open_="{stranger: {then: ls /nonexistent}}")
    assert mounter.call("mount").code == 71
    assert place.left() == []


@in_the_background
def test_what_could_not_be_held_in_the_background_is_told_by_umount(place, mounter):
    place.write(open_="{stranger: {then: ls /nonexistent}}")
    assert mounter.call("fork", "mount").silent
    assert place.run("held", "--wait").code == 79
    result = mounter.call("umount")
    assert (result.code, "There was nothing to back up" in result.err) == (79, True)


def test_no_syslog_is_no_failure(place, mounter):
    (place.root / "log").unlink()
    assert mounter.call("mount").silent
    assert place.tree.exists()


# Its variables


@pytest.fixture
def stuck(place):
    """A hold that cannot be let go of, and a reboot that would be asked for."""
    (place.root / "stuck").touch()
    asked = place.root / "asked"
    place.write(
        open_=f"{{stranger: {{stuck_while: {place.root}/stuck}}}}",
        job=f"""
            release-within: 0.2s
            around:
              - reboot: {{really: true, command: touch {asked}, cancel: rm {asked}}}
        """,
    )
    return asked


def test_what_cannot_be_let_go_of_is_81_and_the_host_reboots_if_the_job_says_so(mounter, stuck):
    assert mounter.call("mount").silent
    assert mounter.call("umount").code == 81
    assert stuck.exists()


@pytest.mark.parametrize("no", ["0", "no", ""])
def test_with_shutdown_off_it_does_not_reboot(mounter, stuck, no):
    assert mounter.call("mount").silent
    assert mounter.call("umount", SHUTDOWN=no).code == 81
    assert mounter.call("mount", SHUTDOWN=no).code == 81  # which lets go of the first one, if it can
    assert not stuck.exists()


@in_the_background
def test_in_the_background_neither(place, mounter, stuck):
    assert mounter.call("mount").silent
    assert mounter.call("fork", "umount", SHUTDOWN="no").silent
    assert place.run("held", "--wait").code == 81
    assert not stuck.exists()
    assert mounter.call("fork", "umount", SHUTDOWN="yes").silent
    place.eventually(stuck.exists)


def test_with_svc_shutdown_off_no_service_takes_part(place, mounter):
    place.write(job="around: [service: {scripts: [name: no-such-service]}]")
    assert mounter.call("mount").code == 69
    assert mounter.call("mount", SVC_SHUTDOWN="0").silent
    assert mounter.call("umount", SVC_SHUTDOWN="0").silent


def test_with_debug_every_command_is_told(place, mounter):
    result = mounter.call("mount", DEBUG="1")
    assert (result.code, result.out) == (0, "")
    assert f"mkdir {place.tree}" in result.err
    assert any(f"mkdir {place.tree}" in line for line in mounter.said())
    assert mounter.call("umount", DEBUG="0").silent


# A real disk


@in_the_background
def test_fork_umount_while_a_reader_holds_the_tree_lets_go_when_it_has_gone(
    place, mounter, new_disk, host_state
):
    (place.root / "disks").mkdir()
    disk = new_disk(place.root / "disks")
    before = host_state()
    place.config.write_text(
        f"guests:\n  web: {{disks: [{disk.path}]}}\n"
        "jobs:\n  nightly: {guests: [web], release-within: 10m}\n"
    )
    assert mounter.call("mount").silent
    with (place.tree / "etc" / "fstab").open() as file:
        reader = subprocess.Popen(["sleep", "1000"], stdin=file)
    try:
        assert mounter.call("fork", "umount").silent
        place.eventually(lambda: any(held["kept_open_by"] for held in place.held()))
        assert [held["state"] for held in place.held()] == ["living"]
    finally:
        reader.kill()
        reader.wait()
    assert place.run("held", "--wait").code == 0
    assert host_state() == before


@pytest.fixture
def service(place, new_disk):
    """A service that reads the tree when it is started while that is there, and the job that may stop it."""
    folder = place.root / "service"
    folder.mkdir()
    made = Service(folder, place.tree / "etc" / "fstab")
    place.config.write_text(_filled(CONFIGURATION, {"disk": new_disk(folder, lvm=False).path, **made.words}))
    yield made
    made.call("stop")


@in_the_background
def test_fork_umount_stops_the_service_that_holds_the_tree_and_starts_it_again(place, mounter, service):
    assert mounter.call("mount").silent
    service.reads()
    first = service.pid
    assert mounter.call("fork", "umount").silent
    assert place.run("held", "--wait").code == 0
    assert service.call("status") == 0
    assert service.pid != first


@in_the_background
def test_with_svc_shutdown_off_the_service_goes_on_and_what_it_holds_is_held(place, mounter, service):
    place.config.write_text(place.config.read_text().replace("release-within: 90s", "release-within: 2s"))
    assert mounter.call("mount").silent
    service.reads()
    first = service.pid
    assert mounter.call("fork", "umount", SVC_SHUTDOWN="0").silent
    assert place.run("held", "--wait").code == 81
    assert service.pid == first
    assert mounter.call("umount").silent
    assert place.held() == []
