"""How long it takes to expose and release guests, against the bare commands: run inside the lab, see ``lab.py``.

The bare commands are those of the 2009 script without its sleeps: for one guest after the other a snapshot, kpartx, a
scan for volume groups, the guest's activated, and two mounts; then the reverse. What of that LVM's snapshots take by
themselves nobody can save: a volume group is changed by one command at a time.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.lab.scenarios.guest_disk import make_guest_disk
from tests.lab.scenarios.system import clear, run

from holdstill_plugins.udev_rule import RULE

AIMS = {1: 1.0, 4: 0.6, 16: 0.4}
ROUNDS = {1: 3, 4: 2, 16: 1}
VG, DISK = "hostvg", Path("/dev/vdb")
EXPOSE = """\
lvcreate --yes --snapshot --name {guest}-snap --size 16M {vg}/{guest}
kpartx -a -s /dev/{vg}/{guest}-snap
vgscan
vgchange -ay vg_{guest}
mount -o ro /dev/vg_{guest}/root /mnt/{guest}
mount -o ro,loop,offset=32256 /dev/{vg}/{guest}-snap /mnt/{guest}/boot
"""
RELEASE = """\
umount /mnt/{guest}/boot
umount /mnt/{guest}
vgchange -an vg_{guest}
kpartx -d /dev/{vg}/{guest}-snap
lvremove --yes {vg}/{guest}-snap
"""


def main(*counts: str) -> None:
    """Measure for so many guests, 1, 4 and 16 if not told otherwise, and print a table."""
    wanted = [int(count) for count in counts] or list(AIMS)
    guests = [f"g{number}" for number in range(max(wanted))]
    run("vgcreate", "--yes", VG, DISK)
    for guest in guests:
        make_guest_disk(VG, guest, f"vg_{guest}", "128M")
        Path("/mnt", guest).mkdir(exist_ok=True)
    print(f"processors: {os.cpu_count()}")
    print(f"{'':<28}{'bare, s':>10}{'ours, s':>10}{'ratio':>8}{'aim':>8}", flush=True)
    for count in wanted:
        rounds = [
            (*bare(guests[:count]), *ours(guests[:count]), *alone(guests[:count]))
            for _ in range(ROUNDS.get(count, 1))
        ]
        figures = [statistics.median(column) for column in zip(*rounds, strict=True)]
        line(f"expose {count} guest(s)", figures[0], figures[3], AIMS.get(count, 0))
        line(f"release {count} guest(s)", figures[1], figures[4], AIMS.get(count, 0))
        line("  lvcreate alone", figures[0], figures[8], 0)
        line("  one lvremove alone", figures[1], figures[9], 0)
        line("  pre, as a whole process", figures[0], figures[6], 0)
        line("  post, as a whole process", figures[1], figures[7], 0)
        if count == 1:
            line("  quiet, against lvcreate -s", figures[2], figures[5], 1.2)
    clear(DISK, VG)


def line(what: str, theirs: float, own: float, aim: float) -> None:
    """Print a row."""
    print(f"{what:<28}{theirs:>10.2f}{own:>10.2f}{own / theirs:>8.2f}{aim or '':>8}", flush=True)


def bare(guests: list[str]) -> tuple[float, float, float]:
    """Seconds that the bare commands take to expose and to release, and those of one «lvcreate -s»."""
    exposed = timed(EXPOSE, guests)
    released = timed(RELEASE, guests)
    snapshot = timed(EXPOSE.partition("\n")[0], guests[:1])
    run("lvremove", "--yes", f"{VG}/{guests[0]}-snap")
    return exposed, released, snapshot


def alone(guests: list[str]) -> tuple[float, float]:
    """Seconds that it takes to make all snapshots, and to remove them with one command."""
    made = timed(EXPOSE.partition("\n")[0] + " --monitor n", guests)
    names = " ".join(f"{VG}/{guest}-snap" for guest in guests)
    return made, timed(f"lvremove --yes {names}", [VG])


def timed(commands: str, guests: list[str]) -> float:
    """Run commands for one guest after the other; udev has come to rest before, and is not waited for after."""
    script = "\n".join(commands.format(guest=guest, vg=VG) for guest in guests)
    run("udevadm", "settle")
    began = time.monotonic()
    subprocess.run(["sh", "-e"], input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def ours(guests: list[str]) -> tuple[float, ...]:
    """Seconds of the phases expose and release and of the quiet time, and those of pre and post as processes."""
    with rule(), tempfile.TemporaryDirectory() as folder:
        argv = configured(Path(folder), guests)
        outcome = json.loads(run(*argv, "run", "nightly", "--json"))
        seconds, quiet = outcome["seconds"], statistics.median(outcome["quiet_seconds"].values())
        return seconds["expose"], seconds["release"], quiet, clocked(*argv, "pre"), clocked(*argv, "post")


def configured(folder: Path, guests: list[str]) -> list[str]:
    """Write a configuration; give the words that call holdstill with it."""
    lines = [
        f"  {guest}: {{disks: [/dev/{VG}/{guest}], snapshot: {{lvm: {{size: 16M}}}}}}" for guest in guests
    ]
    return configured_with(folder, lines, guests)


def configured_with(folder: Path, lines: list[str], guests: list[str]) -> list[str]:
    """Do the same with a line of one's own for each guest."""
    job = f"jobs: {{nightly: {{guests: [{', '.join(guests)}], backup: {{command: {{run: 'true'}}}}}}}}"
    path = folder / "holdstill.yaml"
    path.write_text("\n".join(["guests:", *lines, job, ""]))
    path.chmod(0o600)
    return ["holdstill", f"--config={path}", f"--state={folder}/state", f"--trees={folder}/trees"]


def clocked(*argv: str) -> float:
    """Seconds of a holdstill command from its start to its end."""
    run("udevadm", "settle")
    began = time.monotonic()
    run(*argv, "nightly")
    return time.monotonic() - began


class rule:  # noqa: N801  reads as what it does
    """Have the udev rule that «holdstill check» asks for, for as long as holdstill is measured."""

    path = Path("/run/udev/rules.d") / RULE.name

    def __enter__(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(RULE, self.path)
        run("udevadm", "control", "--reload")

    def __exit__(self, *_: object) -> None:
        self.path.unlink()
        run("udevadm", "control", "--reload")


if __name__ == "__main__":
    main(*sys.argv[1:])
