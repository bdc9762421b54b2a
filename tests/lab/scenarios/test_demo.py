"""«make demo» where the kernel has device-mapper: it uses the host's own LVM."""

from __future__ import annotations

import sys
from pathlib import Path

from .installed import host_state
from .system import run

DEMO = Path(__file__).parents[3] / "contrib" / "demo" / "demo.py"


def test_the_demo_comes_to_a_good_end_on_lvm() -> None:
    before = host_state()
    said = run(sys.executable, DEMO)
    assert "the disk is a logical volume of this host" in said
    assert "All is well." in said
    assert host_state() == before
