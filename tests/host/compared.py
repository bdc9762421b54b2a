"""Is what was restored what was on the guest's disk?"""

from __future__ import annotations

import subprocess
from pathlib import Path


def assert_has_the_guests_files(restored: Path, trees: Path) -> None:
    """Compare a restored guest with the trees that its disk was made of: ``root``, and ``boot`` mounted in it."""
    assert listing(restored, "boot") == listing(trees / "boot")
    assert without_boot(listing(restored)) == without_boot(listing(trees / "root"))


def listing(folder: Path, below: str = "") -> list[str]:
    """Every file with its mode, owner, size, links, and a digest, by tools that holdstill does not use."""
    top = folder / below
    show = "%P %m %U:%G %y %n %l\n"
    found = subprocess.run(
        ["find", top, "-mindepth", "1", "-not", "-name", "lost+found", "-not", "-type", "s", "-printf", show],
        capture_output=True,
        check=True,
    ).stdout.decode(errors="surrogateescape")
    sums = subprocess.run(
        ["find", ".", "-type", "f", "-size", "-64M", "-exec", "sha256sum", "--", "{}", "+"],
        cwd=top,
        capture_output=True,
        check=True,
    ).stdout.decode(errors="surrogateescape")
    return sorted([*found.splitlines(), *(line for line in sums.splitlines() if "lost+found" not in line)])


def without_boot(lines: list[str]) -> list[str]:
    """Leave out what is in a listing of ``boot``."""
    return [line for line in lines if not line.startswith("boot") and "  ./boot/" not in line]
