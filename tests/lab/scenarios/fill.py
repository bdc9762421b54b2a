"""A guest that fills its snapshot, each time as far as it is to be extended: ``fill.py DISK GROUP``."""

from __future__ import annotations

import os
import subprocess
import sys
import time

MIB = 1 << 20
PIECES = (6, 6, 6)
"How much is written, in MiB, before it waits for the snapshot to be larger."
LIMIT = 600.0


def main(disk: str, group: str) -> None:
    """Write, wait until the group has less room, and write again."""
    descriptor = os.open(disk, os.O_WRONLY | os.O_SYNC)
    for piece in PIECES:
        free = free_in(group)
        os.write(descriptor, os.urandom(piece * MIB))
        until = time.monotonic() + LIMIT
        while free_in(group) == free:
            if time.monotonic() > until:
                sys.exit(f"The snapshot was not extended within {LIMIT:.0f} s.")
            time.sleep(0.2)


def free_in(group: str) -> str:
    """What is free in a volume group."""
    return subprocess.run(
        ["vgs", "--noheadings", "-o", "vg_free_count", group], capture_output=True, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main(*sys.argv[1:])
