"""Hosts on this machine, each with a network, processes and a root of its own, that somebody reaches by ssh.

The root is this machine's, with what the host writes laid over it in memory; its ``/run``, ``/srv`` and ``/tmp`` are
empty, and no holdstill is installed. A wire leads to each host from the controller, which is a network namespace, too:
nothing touches this machine's network. All of it ends with the processes that hold the namespaces.
"""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ..callers.gate import LIMIT, eventually

APART = ("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child")
PID = "read -r pid rest </proc/self/stat\n"
"Before the namespace has a /proc of its own, this is the number that others know the process by."
HOST = f"""
set -e
{PID}
mount -t tmpfs none "$1"
cp -r "$2" "$1/ssh"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay none -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
cd "$1/root"
mount -t proc none proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 none run
mount -t tmpfs -o mode=755 none srv
mount -t tmpfs -o mode=1777 none tmp
rm -f ./root/.bashrc  # what this machine's root has a shell do takes its time
rm -rf ./etc/holdstill ./etc/cron.d/holdstill ./etc/systemd/system/*holdstill* ./opt/holdstill* ./var/lib/holdstill
mkdir run/sshd
mv "$1/ssh" run/ssh
ip link set lo up
chroot . /usr/sbin/sshd -D -e -f /run/ssh/config &
echo "$pid"
wait
"""
ADDRESS = "10.9.0.1"
"The controller's, for all hosts."
CONTROLLER = f"""
set -e
{PID}
mount -t proc none /proc
ip link set lo up
ip address add {ADDRESS}/32 dev lo
echo "$pid"
exec cat
"""
SSHD = """
AuthorizedKeysFile /run/ssh/key.pub
HostKey /run/ssh/key
PidFile none
StrictModes no
Subsystem sftp internal-sftp
UsePAM no
"""
LISTENS = ":0016 00000000:0000 0A "
"Port 22 in /proc/net/tcp."


@dataclass(frozen=True)
class Box:
    """A host."""

    name: str
    address: str
    pid: int
    place: Path

    @property
    def sockets(self) -> Path:
        """What listens there."""
        return Path(f"/proc/{self.pid}/net/tcp")

    @property
    def root(self) -> Path:
        """Where its files are, for this machine."""
        return Path(f"/proc/{self.pid}/root{self.place}/root")

    def call(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """Run a program there, as root."""
        inside = ("chroot", f"{self.place}/root", *argv)
        return run(*entering(self.pid), *inside, check=False)


class Fleet:
    """Hosts, and where their owner sits: the controller."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.boxes: dict[str, Box] = {}
        self._stack = ExitStack()
        self._log = self._stack.enter_context((folder / "said").open("w"))
        self._ssh = folder / "ssh"
        self._ssh.mkdir()
        (self._ssh / "config").write_text(SSHD)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        self.controller = self._start(CONTROLLER)

    @property
    def key(self) -> Path:
        """The owner's key; the hosts', too."""
        return self._ssh / "key"

    def boot(self, name: str) -> Box:
        """Have one more host."""
        place = self.folder / name
        place.mkdir()
        net = f"10.9.{len(self.boxes) + 1}"
        box = self.boxes[name] = Box(name, f"{net}.2", self._start(HOST, place, self._ssh), place)
        run("ip", "link", "add", name, "netns", self.controller, "type", "veth",
            "peer", "name", "wire", "netns", box.pid)  # fmt: skip
        for pid, device, address in (self.controller, name, f"{net}.1"), (box.pid, "wire", box.address):
            run(*entering(pid), "ip", "address", "add", f"{address}/30", "dev", device)
            run(*entering(pid), "ip", "link", "set", device, "up")
        run(*entering(box.pid), "ip", "route", "add", "default", "via", f"{net}.1")
        eventually(lambda: LISTENS in box.sockets.read_text())
        return box

    def control(self, *argv: str | Path, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a program where the owner sits."""
        return run(*entering(self.controller), "env", f"--chdir={cwd}", *argv, check=False, env=env)

    def end(self) -> None:
        """End the hosts with all that runs on them."""
        self._stack.close()

    def _start(self, script: str, *words: Path) -> int:
        """Start namespaces with a script that prints its process id when they are made."""
        process = subprocess.Popen(
            [*APART, "sh", "-c", script, "sh", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self._stack.enter_context(process)
        self._stack.callback(process.kill)
        assert process.stdout
        said = process.stdout.readline()
        assert said, Path(self._log.name).read_text()
        return int(said)


def entering(pid: int, *namespaces: str) -> tuple[str, ...]:
    """Give the words that have a program run where that process is: in all its namespaces, or in these."""
    wanted = namespaces or ("net", "mount", "pid")
    return ("nsenter", f"--target={pid}", *(f"--{namespace}" for namespace in wanted))


def run(*argv: object, check: bool = True, **how: object) -> subprocess.CompletedProcess[str]:
    """Run a program, and keep what it says."""
    done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=False, timeout=10 * LIMIT, **how)  # fmt: skip
    assert done.returncode == 0 or not check, f"{argv}: {done.stderr}"
    return done
