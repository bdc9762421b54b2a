"""The modelled machine, with several guests at work."""

from __future__ import annotations

import threading

import pytest

from holdstill.testing import Machine, Tool

LOOKS = {
    "read": lambda machine: machine.read("/proc/self/mountinfo"),
    "look": lambda machine: machine.look("/dev/hostvg/web"),
    "holders": lambda machine: machine.holders(["/dev/hostvg/web"]),
    "still_running": lambda machine: machine.still_running("a run", 0),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS.keys())
def test_nobody_looks_at_what_another_ones_command_is_changing(tmp_path, look):
    """A mount that was not seen, because another one was just taken off the list, was taken for undone."""
    machine = Machine(tmp_path)
    other = threading.Thread(target=look, args=[machine])

    def change(_machine, _arguments):
        other.start()
        other.join(0.2)
        assert other.is_alive(), "it looked while the command was at work"

    machine.tools["change"] = Tool(change)
    machine.run("change")
    other.join()
