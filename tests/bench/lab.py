"""«make bench-lab»: boot the lab's machine, and measure in it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.lab import Lab
from lab.needs import lacking


def main() -> int:
    """Measure, and print what was measured inside."""
    if why := lacking():
        print(why, file=sys.stderr)
        return 1
    lab = Lab(print)
    try:
        machine = lab.machine()
        machine.boot()
        for script, counts in (("guests", sys.argv[1:]), ("last_opener", [])):
            print(machine.run("/usr/bin/python3", f"/lab/tests/bench/{script}.py", *counts, limit=3600))
    finally:
        lab.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
