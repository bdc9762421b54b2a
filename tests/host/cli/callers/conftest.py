"""What the doubles of callers have in common: they cannot be installed here, so their contracts are replayed.

What a double does, its docstring says; it reads what it starts to the end of its output, as the real ones do.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

LIMIT = 180.0
"Seconds after which what a double waits for will not come."


def read(folder: Path) -> dict[str, str]:
    """Read a tree of files as a backup would: what is not there is an error."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


OVERHEARD = """#!{python}
import sys

from holdstill.log import syslog

syslog.JOURNAL, syslog.SYSLOG = "/nonexistent", {socket!r}

from holdstill.cli import main

main()
"""


@pytest.fixture
def overheard(place) -> Iterator[Callable[[], list[str]]]:
    """Put holdstill where syslog hears it in the test; give what syslog has heard since it was last asked."""
    path = place.root / "syslog"
    program = place.root / "holdstill"
    program.write_text(OVERHEARD.format(python=sys.executable, socket=str(path)))
    program.chmod(0o755)
    place.command = (str(program),)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.setblocking(False)
        yield lambda: list(iter(lambda: _heard(listener), ""))


def _heard(listener: socket.socket) -> str:
    try:
        return listener.recv(65536).decode()
    except BlockingIOError:
        return ""


@pytest.fixture
def overflowing(place):
    """The snapshot does not last to the end of the backup."""
    text = place.config.read_text()
    place.config.write_text(text.replace("snapshot: stranger", "snapshot: {stranger: {overflow: true}}"))
    return place


@pytest.fixture
def lingering(place) -> Iterator[None]:
    """Something that a plugin begins lives on, and would keep open whatever it was given."""
    pid = place.root / "pid"
    place.write(open_=f"{{stranger: {{then: 'sh -c \"sleep 600 & echo $! > {pid}\"'}}}}")
    yield
    os.kill(int(pid.read_text()), signal.SIGKILL)
