"""Give a person a shell in a machine of the lab: python tests/lab/shell.py [plain|server|xen]."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

# As a program this file is in no package; its folder's parent is where the package is found.
sys.path.insert(0, str(Path(__file__).parents[1]))

from lab.kinds import KINDS, PLAIN
from lab.lab import Lab
from lab.needs import lacking

HELP = """\
This is the machine's serial console: a root shell soon, Ctrl-A X ends the machine and all it wrote.
The checkout is on /lab, as it is now; what it installs, as it was at the start. To run a scenario:
    /lab/tests/lab/agent/pytest.sh tests/lab/scenarios/test_smoke.py
"""


def main() -> int:
    """Boot a machine on this terminal, and return when it is off."""
    name = sys.argv[1] if len(sys.argv) > 1 else PLAIN.name
    if why := _unknown(name) or lacking():
        sys.stderr.write(f"{why}\n")
        return 1
    signal.signal(signal.SIGHUP, lambda *_: sys.exit(1))  # the terminal was closed: clean up all the same
    lab = Lab(_say, live=True)
    try:
        machine = lab.machine(KINDS[name])
        _say(HELP)
        return subprocess.run(machine.interactive(), check=False).returncode
    finally:
        lab.close()


def _unknown(name: str) -> str:
    return "" if name in KINDS else f"There is no machine '{name}', but: {', '.join(KINDS)}."


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
