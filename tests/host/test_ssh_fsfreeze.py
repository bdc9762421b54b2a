"""A file system in a guest, frozen over ssh, and let go of whoever is killed. This host plays the guest."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from holdstill_plugins.ssh_fsfreeze import HOLD

from ..ports import free_ports
from .processes import parent, processes_with
from .scene import POINTS, WHILE_QUIET, eventually

SSHD = """
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host-key
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
SetEnv PATH={programs}:/usr/sbin:/usr/bin:/sbin:/bin
PasswordAuthentication no
"""
SSH = """
Host guest
  HostName 127.0.0.1
  HostKeyAlias guest
  UserKnownHostsFile {folder}/known
  IdentitiesOnly yes
"""


class Guest:
    """An sshd, and what ssh needs for it."""

    def __init__(self, folder, programs):
        self.folder = folder
        for name in ("host-key", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
        (folder / "known").write_text(f"guest {(folder / 'host-key.pub').read_text()}")
        (folder / "ssh.conf").write_text(SSH.format(folder=folder))
        Path("/run/sshd").mkdir(exist_ok=True)
        [self.port] = free_ports(1)
        (folder / "sshd.conf").write_text(SSHD.format(folder=folder, port=self.port, programs=programs))
        self.sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", folder / "sshd.conf"])
        assert eventually(self.answers)

    def answers(self):
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.port)) == 0

    def step(self, mounted, more=""):
        ssh = f"host: guest, port: {self.port}, key: {self.folder}/key, config: {self.folder}/ssh.conf"
        return f"ssh-fsfreeze: {{{ssh}, path: {mounted.path}{more}}}"


@pytest.fixture
def guest(tmp_path, scene):
    folder = tmp_path / "ssh"
    folder.mkdir()
    made = Guest(folder, scene.folder / "programs")
    yield made
    made.sshd.terminate()
    made.sshd.wait()


def kill(*words):
    pids = processes_with(*words)
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def test_it_is_frozen_while_the_snapshot_is_made_and_not_while_the_backup_runs(scene, disk, mounted, guest):
    scene.configure(disk, guest.step(mounted))
    process = scene.start()
    assert scene.reached("snapshot")
    assert mounted.frozen
    scene.go_on("snapshot")
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert not mounted.frozen
    assert eventually(lambda: not shells(mounted))


def shells(mounted):
    """The guest's shell, and its timer."""
    return processes_with("fsfreeze --unfreeze", f"sh\0{mounted.path}\0")


@pytest.mark.parametrize("point", POINTS)
def test_it_is_thawed_when_holdstill_is_killed(scene, disk, mounted, guest, point):
    real = f'{shutil.which("fsfreeze")} "$@"'
    scene.gated("fsfreeze", real, real)
    scene.configure(disk, guest.step(mounted))
    process = scene.start_up_to(point)
    assert mounted.frozen == (point in WHILE_QUIET)
    scene.kill(process, point)
    assert eventually(lambda: not shells(mounted))
    assert not mounted.frozen
    assert scene.site.call("recover").returncode == 0


@pytest.mark.parametrize("victim", ["ssh", "the guest's shell"])
def test_it_is_thawed_when_one_is_killed(scene, disk, mounted, guest, victim):
    scene.configure(disk, guest.step(mounted))
    process = scene.start()
    assert scene.reached("snapshot")
    if victim == "ssh":
        kill("ssh\0-T", str(mounted.path))
    else:
        kill_shell(mounted)
    assert eventually(lambda: not mounted.frozen)
    scene.go_on("snapshot")
    process.communicate(timeout=90)
    assert process.returncode != 0
    assert scene.site.call("recover").returncode == 0


def kill_shell(mounted):
    """Kill the one that holds, and have the time of its timer, which is its child, be over."""
    assert eventually(lambda: timers(mounted)), "it may not have come to its sleep yet"
    [(shell, sleep)] = timers(mounted)
    for pid in (shell, sleep):
        os.kill(pid, signal.SIGKILL)


def timers(mounted):
    """The guest's shell with the sleep of its timer, once that sleeps."""
    held_by = {pid: parent(pid) for pid in shells(mounted)}
    sleeps = [pid for pid in processes_with("sleep\0") if parent(pid) in held_by]
    return [(held_by[parent(pid)], pid) for pid in sleeps]


def test_it_is_thawed_by_itself_when_the_snapshot_takes_too_long(scene, disk, mounted, guest):
    scene.configure(disk, guest.step(mounted, ", at-most: 0.3s"))
    process = scene.start()
    assert scene.reached("snapshot")
    assert eventually(lambda: not mounted.frozen), "while the run still makes its snapshot"
    scene.go_on("snapshot")
    _, err = process.communicate(timeout=90)
    assert process.returncode != 0
    assert "0.3 s" in err


def test_one_that_was_thawed_by_others_fails_the_job(scene, disk, mounted, guest):
    scene.configure(disk, guest.step(mounted))
    process = scene.start()
    assert scene.reached("snapshot")
    mounted.thaw()
    scene.go_on("snapshot")
    _, err = process.communicate(timeout=90)
    assert process.returncode != 0
    assert "unfreeze failed" in err


def test_what_somebody_else_has_frozen_stays_so(scene, disk, mounted, guest):
    scene.configure(disk, guest.step(mounted))
    mounted.freeze()
    code, told = scene.run()
    assert code == 71
    assert "Device or resource busy" in told["failures"][0]["sentence"]
    assert eventually(lambda: not shells(mounted)), "it would thaw later"
    assert mounted.frozen


def test_a_shell_that_says_something_else_first_is_refused(scene, disk, mounted, guest):
    config = guest.folder / "sshd.conf"
    config.write_text(f'{config.read_text()}\nForceCommand echo hello; eval "$SSH_ORIGINAL_COMMAND"\n')
    guest.sshd.send_signal(signal.SIGHUP)
    assert eventually(lambda: forced(guest))
    scene.configure(disk, guest.step(mounted))
    code, told = scene.run()
    assert code == 73
    assert "said 'hello' in place of 'frozen'" in told["failures"][0]["sentence"]
    assert not mounted.frozen


def forced(guest):
    ssh = ("ssh", "-F", guest.folder / "ssh.conf", "-i", guest.folder / "key", "-p", str(guest.port))
    done = subprocess.run([*ssh, "guest", "true"], capture_output=True, text=True, check=False)
    return done.stdout == "hello\n"


@pytest.mark.parametrize("freezes", [True, False])
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox sh"])
def test_no_timer_stays_in_the_guest_whatever_its_shell_is(tmp_path, shell, freezes):
    if not shutil.which(shell.split()[0]):
        pytest.skip(f"needs {shell}")
    fsfreeze = tmp_path / "fsfreeze"  # by its path: some busybox would call its own, and freeze this host
    fsfreeze.write_text(f"#!/bin/sh\necho $1 >>{tmp_path}/story\n{'exit' if freezes else 'exit 1'}\n")
    fsfreeze.chmod(0o755)
    seconds = str(10**7 + os.getpid())  # nobody else sleeps for so long
    guest = subprocess.Popen(
        [*shell.split(), "-c", HOLD.replace("fsfreeze", str(fsfreeze)), "sh", "/nonexistent", seconds],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    if freezes:
        assert eventually(lambda: processes_with(f"sleep\0{seconds}\0"))
    said, _ = guest.communicate("thaw\n", timeout=90)
    assert said == ("frozen\nthawed\n" if freezes else "")
    assert guest.returncode == (not freezes)
    assert eventually(lambda: not processes_with(seconds))
    assert (tmp_path / "story").read_text() == "--freeze\n" + "--unfreeze\n" * freezes


def test_a_guest_that_does_not_let_us_in_is_told_before_anything_is_held(scene, disk, mounted, guest):
    (guest.folder / "known").write_text("")
    scene.configure(disk, guest.step(mounted))
    result = scene.site.call("run", "nightly")
    assert result.returncode == 69
    assert "Guest web cannot be asked by ssh" in result.stderr
    assert "Host key verification failed" in result.stderr
