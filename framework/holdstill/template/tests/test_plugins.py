"""What these plugins must stand, on a modelled machine that fails and dies at every command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from holdstill.testing import (
    FileSystem,
    Machine,
    Map,
    Partition,
    Refused,
    Shape,
    Table,
    Tool,
    Trial,
    plugins_in,
)
from holdstill.testing.conformance import Conformance

MIB = 1 << 20
CONFIGURATION = """
guests:
  web:
    disks: [/dev/hostvg/web]
    quiesce: {my-app: {address: web}}
    open: [partitions, my-app-open, mount]
jobs:
  nightly:
    guests: [web]
    backup: {command: {run: backup-program}}
    around: my-app-ends
"""
INSIDE = FileSystem("ext4", uuid="1111-aaaa", files={"data": "all that my-app knows\n"})
CONTAINER = Table((Partition(MIB, 50 * MIB, INSIDE),), kind="my-app")
"A header of 1 MiB, and the file system after it."


def pause(machine: Machine, address: str) -> str:
    """It stays so until it is resumed, or boots."""
    machine.kernel.frozen.add(address)
    return ""


def resume(machine: Machine, address: str) -> str:
    """Without a word where it was not paused."""
    machine.kernel.frozen.discard(address)
    return ""


def attach(machine: Machine, device: str, start: str, size: str, name: str) -> str:
    """The device-mapper map is gone after a boot."""
    machine.kernel.maps[name] = Map(f"MYAPP-{name}", ((int(size) - MIB, device, int(start) + MIB),))
    return ""


def detach(machine: Machine, name: str) -> str:
    """Not while it is in use."""
    if name not in machine.kernel.maps:
        raise Refused(1, f"my-app-ctl: there is no {name}")
    if machine.users(f"/dev/mapper/{name}"):
        raise Refused(1, f"my-app-ctl: {name} is in use")
    del machine.kernel.maps[name]
    return ""


VERBS: dict[str, Callable[..., str]] = {
    "pause": pause,
    "resume": resume,
    "attach": attach,
    "detach": detach,
}


def control(machine: Machine, arguments: list[str]) -> str:
    """Behave as «my-app-ctl» does: as you have seen it behave, with every failure that you can provoke."""
    verb, *words = arguments
    return VERBS[verb](machine, *words)


def log(machine: Machine, arguments: list[str]) -> str:
    """«logger» changes nothing that has to be put back."""
    del machine, arguments
    return ""


def prepare(machine: Machine) -> None:
    """Give the machine a guest's disk, and the commands that the plugins run."""
    machine.add_volume("hostvg/web", Table((Partition(MIB, 100 * MIB, CONTAINER),)))
    machine.tools = {"my-app-ctl": Tool(control), "logger": Tool(log)}


class TestPlugins(Conformance):
    """All that every plugin must stand."""

    plugins = plugins_in(Path(__file__).parents[1])
    shapes = {"a guest with a container": Shape(CONFIGURATION, prepare)}


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    """A machine with the plugins at work."""
    return TestPlugins.shapes["a guest with a container"].trial(tmp_path / "machine", TestPlugins.plugins)


def test_my_app_is_still_when_the_snapshot_is_made_and_no_longer(trial: Trial) -> None:
    still = []
    trial.machine.witness = lambda: still.append(
        (trial.machine.commands[-1][0], "web" in trial.machine.kernel.frozen)
    )
    assert trial.run().ok
    assert ("lvcreate", True) in still
    assert ("backup-program", True) not in still


def test_what_is_in_a_container_is_backed_up(trial: Trial) -> None:
    assert trial.pre().ok
    assert (trial.places.trees / "nightly" / "web" / "data").read_text() == "all that my-app knows\n"


def test_the_end_is_told(trial: Trial) -> None:
    assert trial.run().ok
    assert trial.machine.commands[-1] == ("logger", "--tag", "my-app-backup", "nightly ended well")
