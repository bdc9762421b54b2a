"""A machine of the lab: booted, asked to run commands, shut down or cut off, and booted again."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

from . import qemu
from .channel import Channel, Message
from .commands import LabError, last_lines, run
from .image import Image

DATA_SIZE = 4 * 1024**3
ANSWER_GRACE = 30.0


class Machine:
    """One machine. What it wrote to its disks is there again after the next boot, if they are ``flushed``."""

    def __init__(
        self, image: Image, shares: qemu.Shares, folder: Path, *, flushed: bool, processors: int = 0
    ) -> None:
        self._image = image
        self._shares = shares
        self._disks = qemu.Disks(folder, flushed)
        self._processors = processors
        self._console = folder / "console.log"
        self._qemu: subprocess.Popen[bytes] | None = None
        self._channel: Channel | None = None
        self._make_disks()

    def boot(self) -> None:
        """Start the machine and wait until its agent listens."""
        for accelerator, limit in qemu.accelerators():
            self._start(accelerator)
            if self._is_up_within(limit):
                qemu.remember(accelerator)
                return
            self.cut_power()
        raise LabError(f"The machine did not come up. {self.console_end()}")

    def run(self, *argv: str, limit: float = 600) -> str:
        """Run a command inside and return what it wrote; raise if it fails or takes too long."""
        self.send({"argv": argv, "limit": limit})
        answer = self.receive(limit + ANSWER_GRACE)
        if answer["status"] != 0:
            how = "took too long" if answer["status"] is None else f"exited {answer['status']}"
            raise LabError(f"Inside, '{' '.join(argv)}' {how}:\n{last_lines(answer['output'])}")
        output: str = answer["output"]
        return output

    def send(self, message: Message) -> None:
        """Ask the agent for something."""
        self._open_channel().send(message)

    def receive(self, limit: float) -> Message:
        """Return the agent's next message: see ``Channel.receive``."""
        return self._open_channel().receive(limit)

    def interactive(self) -> list[str]:
        """Return the command that boots this machine on the terminal, and without its agent."""
        *_, (accelerator, _) = qemu.accelerators()
        return [
            *qemu.command(self._image, self._disks, self._shares, accelerator, self._processors),
            "-serial",
            "mon:stdio",
            *qemu.kernel(self._image, "systemd.mask=lab-agent.service"),
        ]

    def power_off(self, limit: float = 600) -> None:
        """Shut down as an administrator would, and wait for it."""
        self.send({"argv": ["systemctl", "poweroff"], "limit": limit})
        try:
            self._running_qemu().wait(limit)
        except subprocess.TimeoutExpired as late:
            raise LabError(f"The machine did not shut down. {self.console_end()}") from late
        finally:
            self.cut_power()

    def cut_power(self) -> None:
        """End the machine at once: what it had not yet written to its disks is lost."""
        if self._qemu:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None
        if self._channel:
            self._channel.close()
            self._channel = None

    def console(self) -> str:
        """Return all that was written to the serial console since the machine was made."""
        return self._console.read_text(errors="replace") if self._console.exists() else ""

    def console_end(self) -> str:
        """Return the last lines of the serial console, and say that they are."""
        return f"The end of its serial console:\n{last_lines(self.console(), 80)}"

    def _make_disks(self) -> None:
        base = ["-b", str(self._image.disk), "-F", "raw"]
        run("qemu-img", "create", "-q", "-f", "qcow2", *base, self._disks.root)
        with self._disks.data.open("wb") as empty:
            empty.truncate(DATA_SIZE)

    def _start(self, accelerator: str) -> None:
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        words = [
            *qemu.command(self._image, self._disks, self._shares, accelerator, self._processors),
            *qemu.port(theirs.fileno()),
            "-serial",
            "stdio",
            *qemu.kernel(self._image, f"systemd.mask=serial-getty@{self._image.kind.console}.service"),
        ]
        with self._console.open("ab") as log, theirs:
            self._qemu = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
            )

    def _is_up_within(self, limit: float) -> bool:
        try:
            return "hello" in self.receive(limit)
        except (TimeoutError, EOFError):
            return False

    def _open_channel(self) -> Channel:
        if self._channel is None:
            raise LabError("The machine is off: boot it first.")
        return self._channel

    def _running_qemu(self) -> subprocess.Popen[bytes]:
        if self._qemu is None:
            raise LabError("The machine is off: boot it first.")
        return self._qemu
