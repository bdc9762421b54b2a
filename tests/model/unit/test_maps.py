"""A device-mapper map is removed if it is ours: its UUID says so, its name alone never does."""

from __future__ import annotations

import pytest

from holdstill.plugin import UnavailableError
from holdstill.testing import Machine
from holdstill.testing.kernel import Map
from holdstill_plugins import maps

NAME = "holdstill-r-web-0"
OURS = f"HOLDSTILL-{NAME}"
FACTS = {"map": NAME, "uuid": OURS}


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def add_map(machine, uuid=OURS):
    machine.kernel.maps[NAME] = Map(uuid, ())


def test_ours_is_removed(machine):
    add_map(machine)
    maps.undo(FACTS, machine)
    assert not machine.kernel.maps


def test_one_that_was_never_made_or_is_gone_is_nothing_to_do(machine):
    maps.undo(FACTS, machine)
    assert "remove" not in [argv[1] for argv in machine.commands]


@pytest.mark.parametrize("uuid", ["", "LVM-another", "HOLDSTILL-holdstill-r-web-1"])
def test_one_of_that_name_that_is_somebody_elses_is_left_alone(machine, uuid):
    add_map(machine, uuid)
    with pytest.raises(UnavailableError, match=f"{NAME} does not bear our UUID"):
        maps.undo(FACTS, machine)
    assert list(machine.kernel.maps) == [NAME]


def test_one_that_was_never_made_live_and_has_no_name_in_dev_is_removed(machine, monkeypatch):
    add_map(machine)
    monkeypatch.setattr(machine, "look", lambda _path: None)
    maps.undo(FACTS, machine)
    assert not machine.kernel.maps


def test_one_that_is_taken_away_while_we_look_is_nothing_to_do(machine, monkeypatch):
    add_map(machine)

    def taken_away(path):
        machine.kernel.maps.clear()
        raise FileNotFoundError(path)

    monkeypatch.setattr(machine, "read", taken_away)
    maps.undo(FACTS, machine)
    assert "remove" not in [argv[1] for argv in machine.commands]
