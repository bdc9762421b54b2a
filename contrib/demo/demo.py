"""«make demo»: a guest's disk is held, opened, backed up, let go of and verified, for real, while it is in use.

The guest's disk is as the 2009 script's users have it: MBR, ext3 /boot at sector 63, a volume group with the root
on a logical volume. A process in a mount namespace of its own plays the running guest: it keeps writing to the
disk. Where the kernel has device-mapper, the disk is a logical volume of this host; elsewhere an image file on a
file system that can clone files. Everything is made in one folder and is taken away in the end.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from holdstill.testing.disks import GuestDisk, make_guest_disk
from holdstill.testing.guest import BusyGuest, Counters, counters_in
from holdstill.testing.trees import fstab, populate
from holdstill_plugins import udev_rule

HOLDSTILL = (
    shutil.which("holdstill", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}") or "holdstill"
)
MIB = 1 << 20
WATCHED = {
    "mounts": ("findmnt", "--noheadings", "--list", "--output", "TARGET,SOURCE"),
    "loop devices": ("losetup", "--noheadings", "--list", "--output", "NAME,OFFSET,BACK-FILE"),
    "mappings": ("dmsetup", "ls"),
    "volumes": ("lvs", "--noheadings", "--options", "vg_name,lv_name,lv_attr"),
}
NAMED = {"mappings", "volumes"}
"What is known for ours by its name; the rest names the demo's folder."
CONFIGURATION = """\
guests:
  web:
    disks: [{disk}]
jobs:
  nightly:
    guests: [web]
    backup:
      tar: {{to: {archives}}}
"""


def main() -> int:
    """Show it."""
    if os.geteuid() != 0:
        print("The demo mounts real file systems, which only root may do: run «sudo make demo».")
        return 77
    with (
        tempfile.TemporaryDirectory(prefix="demo-", dir="/var/tmp") as folder,
        ExitStack() as stack,
    ):
        return _demo(Path(folder), stack)


def _demo(folder: Path, stack: ExitStack) -> int:
    say(
        "A guest's disk is made: MBR, ext3 /boot at sector 63, a volume group with the root on a logical volume."
    )
    stack.enter_context(_udev_rule())
    disk = stack.enter_context(_disk_on_lvm(folder) if _has_device_mapper() else _disk_in_file(folder))
    guest = stack.enter_context(BusyGuest(disk))
    guest.wait_for(20)
    say(f"The guest runs and writes to {disk.path} all the time. This is the configuration of its backup:")
    _configure(folder, disk)
    show(f"cat {folder}/holdstill.yaml")
    before, written = _host(folder), guest.written
    say("Is all there that the job needs? What would it do?")
    holdstill(folder, "check")
    holdstill(folder, "plan", "nightly")
    say("Now the job itself: prepare, expose, backup, release, verify.")
    holdstill(folder, "run", "nightly", "--log", "terminal")
    return _report(folder, before, written, guest)


def _report(folder: Path, before: dict[str, list[str]], written: Counters, guest: BusyGuest) -> int:
    say("The archive, and a file of it as the manifest has it:")
    [archive] = folder.glob("archives/nightly/*.tar.zst")
    show(f"ls -l {archive.parent}")
    show(
        f"tar --list --file {archive} | wc --lines; grep etc/hostname {archive.with_name(_stem(archive))}.manifest"
    )
    found = _restored_counters(archive, folder / "restored")
    say(
        f"The guest had counted to {written.second} when the job began, the archive has {found.second}, and now it is "
        f"at {guest.written.second}: it never stopped, and its backup is of one moment."
    )
    say("What does the job still hold, and is the host as it was before?")
    holdstill(folder, "held")
    same = _compare(before, _host(folder))
    good = found.of_one_moment and found >= written and same
    say("All is well." if good else "Something is NOT as it should be: see above.")
    return 0 if good else 1


def _stem(archive: Path) -> str:
    return archive.name.removesuffix(".tar.zst")


def _restored_counters(archive: Path, folder: Path) -> Counters:
    """Restore what the guest wrote, and read its counters: torn ones would show a backup of two moments."""
    folder.mkdir()
    quietly("tar", "--extract", "--file", str(archive), "--directory", str(folder), "./var/lib/busy")
    return counters_in(folder)


def _configure(folder: Path, disk: GuestDisk) -> None:
    (folder / "archives").mkdir()
    configuration = folder / "holdstill.yaml"
    configuration.write_text(CONFIGURATION.format(disk=disk.path, archives=folder / "archives"))
    configuration.chmod(0o600)


def _make_disk(folder: Path) -> GuestDisk:
    """Make the guest's disk: two thousand files, links, a sparse file, names with blanks."""
    populate(folder / "tree", table=fstab("web", volumes=("root", "swap")))
    (folder / "boot").mkdir()
    (folder / "boot" / "vmlinuz").write_bytes(os.urandom(MIB))
    return make_guest_disk(
        folder / "web.img", tree=folder / "tree", boot=folder / "boot", size=192 * MIB, name="web"
    )


@contextmanager
def _udev_rule() -> Iterator[None]:
    """Keep udev's hands off the guest's volume group while the demo runs, as «holdstill check» asks for."""
    rule = Path("/run/udev/rules.d") / udev_rule.NAME
    if not Path(udev_rule.RUNNING).exists() or rule.exists():
        yield
        return
    rule.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(udev_rule.RULE, rule)
    quietly("udevadm", "control", "--reload")
    try:
        yield
    finally:
        rule.unlink()
        quietly("udevadm", "control", "--reload")


@contextmanager
def _disk_in_file(folder: Path) -> Iterator[GuestDisk]:
    """Keep the disk as an image on XFS, which can clone files: a clone of a busy image is of one moment."""
    say("This kernel has no device-mapper, so the disk is an image file, on a small XFS of its own.")
    store = folder / "guests"
    store.mkdir()
    with (folder / "guests.img").open("wb") as file:
        file.truncate(1024 * MIB)
    quietly("mkfs.xfs", "-q", str(folder / "guests.img"))
    quietly("mount", "-o", "loop", str(folder / "guests.img"), str(store))
    try:
        yield _make_disk(store)
    finally:
        quietly("umount", str(store))


@contextmanager
def _disk_on_lvm(folder: Path) -> Iterator[GuestDisk]:
    """Keep the disk on a logical volume, in a volume group of its own on a loop device."""
    say("This kernel has device-mapper, so the disk is a logical volume of this host.")
    made, group = _make_disk(folder), f"holdstill_demo_{os.getpid()}"
    with (folder / "pv.img").open("wb") as file:
        file.truncate(1024 * MIB)
    loop = quietly("losetup", "--find", "--show", str(folder / "pv.img")).strip()
    try:
        quietly("vgcreate", "--yes", group, loop)
        quietly("lvcreate", "--yes", "--wipesignatures", "n", "--name", "web", "--size", "192M", group)
        quietly("dd", f"if={made.path}", f"of=/dev/{group}/web", "bs=1M", "conv=sparse,fsync")
        yield replace(made, path=Path(f"/dev/{group}/web"))
    finally:
        quietly("vgremove", "--yes", group)
        quietly("losetup", "--detach", loop)


def _has_device_mapper() -> bool:
    return subprocess.run(["dmsetup", "version"], capture_output=True, check=False).returncode == 0


def _host(folder: Path) -> dict[str, list[str]]:
    """What there is on this host that a job could leave something of. Others may be at work here, too: not theirs."""
    return {
        what: _lines(argv, "holdstill" if what in NAMED else str(folder)) for what, argv in WATCHED.items()
    }


def _lines(argv: tuple[str, ...], ours: str) -> list[str]:
    lines = subprocess.run(argv, capture_output=True, text=True, check=False).stdout.splitlines()
    return sorted(line for line in lines if ours in line)


def _compare(before: dict[str, list[str]], after: dict[str, list[str]]) -> bool:
    for what, lines in before.items():
        state = "as before" if lines == after[what] else "CHANGED"
        print(f"{what:<14} {state} ({len(lines)} before, {len(after[what])} after)")
    return before == after


def holdstill(folder: Path, *arguments: str) -> None:
    """Run holdstill on the demo's own folders, as a person would type it."""
    places = {name.upper(): str(folder / name) for name in ("state", "trees", "plugins")}
    environment = {f"HOLDSTILL_{name}": path for name, path in places.items()}
    environment["HOLDSTILL_CONFIG"] = str(folder / "holdstill.yaml")
    prompt(f"holdstill {' '.join(arguments)}")
    done = subprocess.run([HOLDSTILL, *arguments], env=os.environ | environment, check=False)
    if done.returncode:
        raise SystemExit(f"holdstill {arguments[0]} exited with {done.returncode}")


def show(line: str) -> None:
    """Run a line of shell, as a person would type it."""
    prompt(line)
    subprocess.run(["sh", "-c", line], check=True)


def quietly(*argv: str) -> str:
    """Run a command of the set-up."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The demo could not be set up: {' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout


def _styled(code: str) -> Callable[[str], None]:
    def write(text: str) -> None:
        print(f"\033[{code}m{text}\033[0m" if sys.stdout.isatty() else text, flush=True)

    return write


def say(text: str) -> None:
    """Tell what is going on."""
    print()
    _styled("1;36")(text)


def prompt(line: str) -> None:
    """Show a command."""
    _styled("1")(f"# {line}")


if __name__ == "__main__":
    sys.exit(main())
