"""A guest that counts on its disks in turn, each time past all caches: ``writer.py REPORT DISK…``.

REPORT is a file that always says how far it has come, and the longest that one write took, in seconds.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from pathlib import Path

SECTOR = 512
PAUSE = 0.002
"Seconds: with none, it would take one of the machine's processors for itself."


def main(report: str, *disks: str) -> None:
    """Count until killed."""
    descriptors = [os.open(disk, os.O_RDWR | os.O_DIRECT | os.O_DSYNC) for disk in disks]
    sector, count, stall = mmap.mmap(-1, SECTOR), 0, 0.0
    while True:
        count += 1
        sector[:] = f"{count}\n".encode().ljust(SECTOR, b" ")
        for descriptor in descriptors:
            began = time.monotonic()
            os.pwrite(descriptor, sector, 0)
            stall = max(stall, time.monotonic() - began)
        if count % 10 == 1:
            _tell(report, {"count": count, "stall": stall})
        time.sleep(PAUSE)


def _tell(report: str, what: dict[str, float]) -> None:
    """Write the report so that it can be read at any time."""
    fresh = Path(f"{report}.new")
    fresh.write_text(json.dumps(what))
    fresh.rename(report)


if __name__ == "__main__":
    main(*sys.argv[1:])
