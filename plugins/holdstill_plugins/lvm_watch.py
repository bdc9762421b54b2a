"""Have the watchdog beside us (``lvm_awake`` as a program), which wakes volumes when nobody else is left to do it."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from pathlib import Path

from holdstill.plugin import Host
from holdstill_plugins import lvm_awake

PROGRAM = (sys.executable, "-I", "-S", str(Path(lvm_awake.__file__)))


def get_ready(host: Host) -> None:
    """Have it started by the time when it is needed. Raises UnavailableError if it cannot be."""
    host.beside(*PROGRAM)


def begin(host: Host, key: str, maps: Iterable[str], longest: float = math.inf) -> None:
    """Tell it which maps a command may suspend: one that has ``key`` (a map, or the ``LV`` of ``VG/LV``) as a word.

    After ``longest`` seconds it resumes them in any case. Raises HoldstillError if it does not hear.
    """
    host.beside(*PROGRAM).tell(" ".join([key, str(longest), *maps]))


def end(host: Host, key: str) -> None:
    """Tell it that all is well again."""
    host.beside(*PROGRAM).tell(key)
