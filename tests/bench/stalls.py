"""How long a client of a database waits for a commit while its volumes are held, against the bare commands.

Run inside the lab, see ``lab.py``. The longest wait while they are taken, and while they are let go of again.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.guests import DISK, VG, configured_with, rule
from tests.lab.scenarios.server.cluster import Client, cluster, sql
from tests.lab.scenarios.system import clear, run

ROUNDS = 5
UNDISTURBED = 5.0
"Seconds."
Action = Callable[[], object]


def main() -> None:
    """Measure, and print a table."""
    print(f"{'the longest wait for a commit':<46}{'taken, ms':>12}{'let go, ms':>12}", flush=True)
    run("vgcreate", "--yes", VG, DISK)
    with cluster(VG), rule(), tempfile.TemporaryDirectory() as folder, Client() as client:
        for what, take, let_go in [
            ("nothing", lambda: time.sleep(UNDISTURBED), lambda: time.sleep(UNDISTURBED)),
            ("a checkpoint, nothing", lambda: sql("CHECKPOINT"), lambda: None),
            *held(Path(folder), "data"),
            *held(Path(folder), "data", "wal"),
            *ours(Path(folder), "a checkpoint, ", "[postgresql]", "data", "wal"),
        ]:
            rounds = [(longest(client, take), longest(client, let_go)) for _ in range(ROUNDS)]
            taken, gone = (statistics.median(column) * 1000 for column in zip(*rounds, strict=True))
            print(f"{what:<46}{taken:>12.0f}{gone:>12.0f}", flush=True)
    clear(DISK, VG)


def longest(client: Client, action: Action) -> float:
    """The longest that the client waits from before an action until it goes on after it."""
    client.goes_on()
    before = client.confirmed
    action()
    client.goes_on()
    return max(client.waits[before:])


def held(folder: Path, *volumes: str) -> list[tuple[str, Action, Action]]:
    """The bare commands, one after the other, and holdstill, for which several volumes are of one moment."""
    return [
        (
            f"bare commands: {', '.join(volumes)}",
            lambda: [
                lvm("lvcreate", "--snapshot", "--size=64M", f"--name={v}-s", f"{VG}/{v}") for v in volumes
            ],
            lambda: [lvm("lvremove", f"{VG}/{v}-s") for v in volumes],
        ),
        *ours(folder, "", "[]", *volumes),
    ]


def lvm(command: str, *words: str) -> None:
    """Run a command of LVM's."""
    run(command, "--yes", *words)


def ours(folder: Path, before: str, quiesce: str, *volumes: str) -> list[tuple[str, Action, Action]]:
    """Holdstill, called as a hook."""
    disks = ", ".join(f"/dev/{VG}/{volume}" for volume in volumes)
    how = f"mounted-here: true, snapshot: {{lvm: {{size: 64M}}}}, open: [], quiesce: {quiesce}"
    place = folder / f"{len(volumes)}{len(quiesce)}"
    place.mkdir()
    argv = configured_with(place, [f"  db: {{disks: [{disks}], {how}}}"], ["db"])
    return [
        (
            f"holdstill: {before}{', '.join(volumes)}",
            lambda: run(*argv, "pre", "nightly"),
            lambda: run(*argv, "post", "nightly"),
        )
    ]


if __name__ == "__main__":
    main()
