"""How long it takes from the end of the last one who reads a tree until the host is clean: run inside the lab.

By hand: somebody sees that end at once, and types the commands that let go. Ours: «holdstill post» waits already.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.bench.guests import DISK, EXPOSE, RELEASE, VG, configured, line, rule, timed
from tests.lab.scenarios.guest_disk import make_guest_disk
from tests.lab.scenarios.system import clear, run

AIM, ROUNDS = 1.3, 5
GUEST = "g0"


def main() -> None:
    """Measure, and print a table."""
    run("vgcreate", "--yes", VG, DISK)
    make_guest_disk(VG, GUEST, f"vg_{GUEST}", "128M")
    Path("/mnt", GUEST).mkdir(exist_ok=True)
    with rule(), tempfile.TemporaryDirectory() as folder:
        argv = configured(Path(folder), [GUEST])
        rounds = [(by_hand(), ours(argv, Path(folder))) for _ in range(ROUNDS)]
    bare, own = (statistics.median(column) for column in zip(*rounds, strict=True))
    line("release, last opener gone", bare, own, AIM)
    clear(DISK, VG)


def by_hand() -> float:
    """Seconds of the bare commands, from the moment when the reader has ended."""
    timed(EXPOSE, GUEST)
    reader = reading(Path("/mnt", GUEST))
    reader.terminate()
    reader.wait()
    began = time.monotonic()
    script = RELEASE.format(guest=GUEST, vg=VG)
    subprocess.run(["sh", "-e"], input=script, text=True, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began


def ours(argv: list[str], folder: Path) -> float:
    """Seconds until a waiting «post» has ended, from the moment when the reader has ended."""
    run(*argv, "pre", "nightly")
    reader = reading(folder / "trees/nightly" / GUEST)
    post = subprocess.Popen([*argv, "post", "nightly"])
    while "kept open" not in run(*argv, "held"):
        assert post.poll() is None
    reader.terminate()
    reader.wait()
    began = time.monotonic()
    assert post.wait() == 0
    return time.monotonic() - began


def reading(tree: Path) -> subprocess.Popen[bytes]:
    """Start a process whose working folder is the tree."""
    return subprocess.Popen(["sleep", "infinity"], cwd=tree)


if __name__ == "__main__":
    print(f"{'':<28}{'bare, s':>10}{'ours, s':>10}{'ratio':>8}{'aim':>8}")
    main()
