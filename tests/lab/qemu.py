"""How QEMU is started: the accelerator, and the words of its command line."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .cache import cache
from .image import Image

KERNEL_WORDS = (
    "root=/dev/vda rw loglevel=4 panic=-1 systemd.show_status=auto sysctl.kernel.hung_task_timeout_secs=60"
    # Nobody in there spies on anybody, and what prevents it costs a third of the time in emulation.
    " mitigations=off"
    # One and a half and three minutes otherwise, which may be too few beside other emulated machines.
    " systemd.default_timeout_start_sec=600 udev.event_timeout=600"
)
PROCESSORS = {
    "kvm": ("host", 2),
    # An old processor, and only one of them: what newer ones have on top, and two that wait for each other, takes an
    # emulator longer. Measured with two machines at work on two processors: 26 s instead of 36 s.
    "tcg": ("Nehalem", 1),
}
"Which processor a machine has by accelerator, in QEMU's words, and how many of them."
UP_WITHIN = 900.0
# Where KVM works a machine is up in a few seconds; where it only seems to, it never is.
KVM_UP_WITHIN = 40.0


@dataclass(frozen=True)
class Disks:
    """A machine's own folder: its changes to the image, and its empty second disk."""

    folder: Path
    flushed: bool
    "Whether what the machine asks to be safe is, when its power is cut: waiting for that takes its time."

    @property
    def root(self) -> Path:
        """What the machine wrote over the image."""
        return self.folder / "root.qcow2"

    @property
    def data(self) -> Path:
        """The disk that is /dev/vdb inside."""
        return self.folder / "data.raw"


@dataclass(frozen=True)
class Shares:
    """The folders of this machine that the one inside sees, and cannot write."""

    checkout: Path
    local: Path


def command(image: Image, disks: Disks, shares: Shares, accelerator: str, processors: int = 0) -> list[str]:
    """Return QEMU's command line, without its consoles and what it starts.

    The machine has so many ``processors``, or if none are asked for as many as are best for the tests.
    """
    processor, how_many = PROCESSORS[accelerator]
    cache_mode = "writeback" if disks.flushed else "unsafe"
    return [
        # It must not outlive the tests, whatever ends them.
        "setpriv",
        "--pdeathsig",
        "KILL",
        "nice",
        f"--adjustment={image.kind.nice}",
        "qemu-system-x86_64",
        "-machine",
        "q35",
        "-accel",
        accelerator,
        "-cpu",
        processor + image.kind.cpu,
        "-m",
        str(image.kind.memory),
        "-smp",
        str(processors or how_many),
        "-display",
        "none",
        "-nic",
        "none",
        "-no-reboot",
        "-drive",
        f"file={_word(disks.root)},if=virtio,format=qcow2,cache={cache_mode}",
        "-drive",
        f"file={_word(disks.data)},if=virtio,format=raw,discard=unmap,cache={cache_mode}",
        *_share("checkout", shares.checkout),
        *_share("local", shares.local),
    ]


def kernel(image: Image, *words: str) -> list[str]:
    """Return the words that start the kernel with ``words`` of its own, under Xen where the kind has it."""
    told = " ".join([KERNEL_WORDS, f"console={image.kind.console}", *words])
    if image.kind.xen:
        modules = f"{_word(image.kernel)} {told},{_word(image.initrd)}"
        return ["-kernel", str(image.xen), "-append", image.kind.xen, "-initrd", modules]
    return ["-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", told]


def port(descriptor: int) -> list[str]:
    """Return the words that make an open socket the port through which the agent listens and answers."""
    return [
        "-device",
        "virtio-serial",
        "-chardev",
        f"socket,id=lab,fd={descriptor}",
        "-device",
        "virtserialport,chardev=lab,name=lab",
    ]


def accelerators() -> list[tuple[str, float]]:
    """Return what to try, best first, and how long to wait for the machine to be up with it."""
    chosen = os.environ.get("HOLDSTILL_LAB_ACCEL") or _remembered()
    if chosen:
        return [(chosen, UP_WITHIN)]
    kvm = [("kvm", KVM_UP_WITHIN)] if os.access("/dev/kvm", os.R_OK | os.W_OK) else []
    return [*kvm, ("tcg", UP_WITHIN)]


def remember(accelerator: str) -> None:
    """Keep what worked until this machine boots again, so that a KVM that hangs is waited for once."""
    _memory().write_text(f"{_this_boot()} {accelerator}")


def _remembered() -> str:
    boot, _, accelerator = _memory().read_text().partition(" ") if _memory().exists() else ("", "", "")
    return accelerator if boot == _this_boot() else ""


def _memory() -> Path:
    return cache() / "accelerator"


def _this_boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def _share(tag: str, folder: Path) -> list[str]:
    options = f"local,path={_word(folder)},mount_tag={tag},security_model=none,readonly=on,multidevs=remap"
    return ["-virtfs", options]


def _word(path: Path) -> str:
    """Write a path as QEMU reads it inside an option, where a comma ends a value."""
    return str(path).replace(",", ",,")
