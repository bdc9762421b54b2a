"""The installed ``holdstill``, run as any caller runs it, in folders of its own.

Its jobs use a stranger's plugin from the folder for single-file plugins: a "snapshot" is a copy of a file, and
opening it makes a folder with the copy in it. That needs neither root nor a kernel's help.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent, indent

import pytest

from ..conftest import everything_in

LIMIT = 90.0
"Seconds after which a condition that we wait for will not come."

STRANGER = '''
"""A stranger's plugin: copies for snapshots, folders for trees."""

import os
import shlex
from functools import partial

import msgspec

from holdstill.plugin import BackupError, Device, Tree, UnavailableError, hookimpl


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    then: str = ""
    "A command that is run when the tree is there."
    stuck_while: str = ""
    "The tree cannot be let go of while this file is there."
    overflow: bool = False
    "The copy does not hold to the end."


@hookimpl
def holdstill_options():
    return Options


@hookimpl
def holdstill_snapshot(steps, host):
    return tuple(partial(copies_of, step, host) for step in steps)


def copies_of(step, host, hold):
    copies = []
    for disk in step.disks:
        copy = f"{disk.path}.copy-{step.run.id}"
        hold.promise(f"copy of {disk.path}", by_hand=["rm", "--force", copy], copy=copy,
                     overflow=int(step.options.overflow))
        host.run("cp", disk.path, copy)
        copies.append(Device(name=disk.name, path=copy, store=copy, size=disk.size))
    return tuple(copies)


@hookimpl
def holdstill_open(step, sources, hold, host):
    tree = step.run.tree(step.guest)
    hold.promise(f"tree {tree}", by_hand=["rm", "--recursive", "--force", tree], tree=tree,
                 stuck_while=step.options.stuck_while)
    host.run("mkdir", tree)
    for source in sources:
        host.run("cp", source.path, f"{tree}/{source.name}")
    if step.options.then:
        host.run(*shlex.split(step.options.then))
    return (Tree(guest=step.guest, path=tree),)


@hookimpl
def holdstill_still(facts, host):
    if facts.get("overflow"):
        raise BackupError("the copy overflowed")


@hookimpl
def holdstill_undo(facts, host):
    if facts.get("stuck_while") and host.look(facts["stuck_while"]):
        raise UnavailableError(f"{facts['tree']} is still in use")
    host.run("rm", "--recursive", "--force", facts.get("tree") or facts["copy"])
'''


@dataclass
class Result:
    """What a caller gets."""

    code: int
    out: str
    err: str

    @property
    def silent(self) -> bool:
        return (self.code, self.out, self.err) == (0, "", "")

    @property
    def json(self) -> object:
        return json.loads(self.out)


@dataclass
class Place:
    """A host's folders, and the command in them."""

    root: Path
    command: tuple[str, ...]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def config(self) -> Path:
        return self.root / "site.yaml"

    @property
    def trees(self) -> Path:
        return self.root / "trees"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def plugins(self) -> Path:
        return self.root / "plugins"

    @property
    def disk(self) -> Path:
        return self.root / "web.img"

    @property
    def tree(self) -> Path:
        return self.trees / "nightly" / "web"

    @property
    def environment(self) -> dict[str, str]:
        names = ("config", "state", "trees", "plugins")
        return {f"HOLDSTILL_{name.upper()}": str(getattr(self, name)) for name in names}

    def write(self, *, open_: str = "stranger", disks: str = "", job: str = "") -> None:
        """Write the configuration of a job ``nightly`` of one guest ``web``."""
        self.config.write_text(
            f"guests:\n  web:\n    disks: [{disks or self.disk}]\n    snapshot: stranger\n    open: [{open_}]\n"
            f"jobs:\n  nightly:\n    guests: [web]\n{indent(dedent(job), '    ')}\n"
        )

    def plugin(self, name: str, text: str) -> None:
        """Drop a plugin in."""
        path = self.plugins / f"{name}.py"
        path.write_text(dedent(text))
        path.chmod(0o644)

    def run(self, *arguments: str, **more: object) -> Result:
        """Run holdstill to its end."""
        return self.shell([*self.command, *arguments], **more)

    def shell(self, argv: list[str], **more: object) -> Result:
        """Run any command with our folders in its environment."""
        options: dict[str, object] = {"env": os.environ | self.environment, "stdin": subprocess.DEVNULL}
        done = subprocess.run(  # type: ignore[call-overload]
            argv, capture_output=True, text=True, timeout=LIMIT * 2, check=False, **(options | more)
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str, **more: object) -> subprocess.Popen[str]:
        """Start holdstill, and leave it to the test."""
        options: dict[str, object] = {"env": os.environ | self.environment, "stdin": subprocess.DEVNULL}
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen([*self.command, *arguments], **(options | more))  # type: ignore[call-overload]
        self.started.append(process)
        return process

    def wait(self, process: subprocess.Popen[str]) -> Result:
        """Wait for the end of what was started."""
        out, err = process.communicate(timeout=LIMIT)
        return Result(process.returncode, out, err)

    def eventually(self, condition: Callable[[], object]) -> object:
        """Wait for a condition, with a limit."""
        ends = time.monotonic() + LIMIT
        while not (met := condition()) and time.monotonic() < ends:
            time.sleep(0.01)
        assert met, "it did not come in time"
        return met

    def held(self) -> list[dict[str, object]]:
        """What ``holdstill held`` tells programs."""
        found = json.loads(self.run("held", "--json").out)
        assert isinstance(found, list)
        return found

    def left(self) -> list[str]:
        """All that a run would have to let go of: copies, trees and journals."""
        copies = [path.name for path in self.root.glob("web.img.copy-*")]
        trees = [path.removeprefix(f"{self.root}/") for path in everything_in(self.trees)]
        journals = [path.name for path in self.state.glob("journals/*")]
        return copies + trees + journals


def _console_script() -> tuple[str, ...]:
    script = Path(sys.executable).with_name("holdstill")
    return (str(script),) if script.exists() else (sys.executable, "-m", "holdstill")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Folders with a disk, the stranger's plugin, and a job ``nightly`` for pre and post."""
    made = Place(tmp_path, _console_script())
    made.plugins.mkdir(mode=0o755)
    made.disk.write_text("the guest's data")
    made.plugin("stranger", STRANGER)
    made.write()
    yield made
    for process in made.started:
        process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream:
                stream.close()


@pytest.fixture
def held_place(place: Place) -> Place:
    """The same, with its job held."""
    assert place.run("pre", "nightly").silent
    return place


@pytest.fixture
def gate(place: Place) -> Iterator[Gate]:
    """A command that waits until the test opens the gate, or ends."""
    made = Gate(place.root / "reached", place.root / "open")
    made.script.write_text(
        f"#!/bin/sh\necho $$ > {made.reached}.new\nmv {made.reached}.new {made.reached}\n"
        f"until test -e {made.opened}; do sleep 0.02; done\n"
    )
    made.script.chmod(0o755)
    yield made
    made.opened.touch()


@dataclass
class Gate:
    """Where a run stops until it is let through."""

    reached: Path
    opened: Path

    @property
    def script(self) -> Path:
        return self.reached.with_name("gate.sh")
