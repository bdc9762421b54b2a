"""«make bench-lab»: boot the lab's machine, and measure in it.

``python tests/bench/lab.py guests 16``: one of the measurements only, with what it is to be told.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.kinds import SERVER
from lab.lab import Lab
from lab.needs import lacking

MEASUREMENTS = ("guests", "stalls", "last_opener")


def main() -> int:
    """Measure, and print what was measured inside."""
    if why := lacking():
        print(why, file=sys.stderr)
        return 1
    lab = Lab(print)
    try:
        # A host has several processors; so has this one, though the tests' machines are quicker with one.
        machine = lab.machine(SERVER, processors=os.cpu_count() or 1)
        machine.boot()
        for measurement in sys.argv[1:2] or MEASUREMENTS:
            script = f"/lab/tests/bench/{measurement}.py"
            print(machine.run("/usr/bin/python3", script, *sys.argv[2:], limit=3600))
    finally:
        lab.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
