"""Amanda's script API; tests/host/callers has Amanda itself."""

from __future__ import annotations

import pytest

OPTIONS = {
    "--execute-where": "client",
    "--config": "daily",
    "--host": "xen1",
    "--disk": "nightly",
    "--timestamp": "20261125013000",
    "--level": "0",
    "--target": "/elsewhere",
}
WORDS = [word for option in OPTIONS.items() for word in option]


def call(place, step, *words):
    return place.run("hook", "--job=nightly", "amanda", step, *words)


def test_it_is_told_what_holdstill_understands(place):
    told = dict(line.split() for line in call(place, "support").out.splitlines())
    assert told.pop("MESSAGE-XML") == "NO"
    assert set(told.values()) == {"YES"}
    assert {"TIMESTAMP", "EXECUTE-WHERE", "MESSAGE-LINE"} <= told.keys()


def test_its_script_answers_the_same_without_holdstill(place, tmp_path):
    """Amanda ends a dump that has failed within seconds: what comes before the last step takes none."""
    script = tmp_path / "script"
    printed = place.run("caller", "amanda", "nightly", "--file", "script.sh").out
    script.write_text(printed.replace("/usr/bin/sudo", "/nonexistent"))
    assert place.shell(["sh", str(script), "support"]) == call(place, "support")


@pytest.mark.parametrize("what", ["AMCHECK", "ESTIMATE", "BACKUP"])
def test_its_application_is_told_where_the_files_are_for_as_long_as_they_are_held(place, what):
    before = call(place, f"PRE-DLE-{what}", *WORDS)
    assert (before.code, before.out, before.err) == (0, f"PROPERTY target {place.trees}/nightly\n", "")
    session = "amcheck" if what == "AMCHECK" else "20261125013000"
    assert [held["session"] for held in place.held()] == [session]
    assert call(place, f"POST-DLE-{what}", *WORDS).silent
    assert place.left() == []


def test_an_entry_that_is_tried_again_is_held_anew(place):
    assert call(place, "PRE-DLE-BACKUP", *WORDS).code == 0
    place.disk.write_text("newer data")
    assert call(place, "PRE-DLE-BACKUP", *WORDS).code == 0
    assert (place.tree / "disk1").read_text() == "newer data"
    assert len(place.held()) == 1


@pytest.mark.parametrize("place_of_it", [0, 4, len(WORDS)])
def test_an_option_without_a_value_does_not_hide_the_timestamp(place, place_of_it):
    words = [*WORDS[:place_of_it], "--flag", *WORDS[place_of_it:]]
    assert call(place, "PRE-DLE-BACKUP", *words).code == 0
    assert [held["session"] for held in place.held()] == ["20261125013000"]


@pytest.mark.parametrize("step", ["PRE-HOST-BACKUP", "POST-BACKUP", "PRE-RECOVER", "INTER-LEVEL-RECOVER", ""])
def test_steps_around_several_entries_hold_nothing(place, step):
    assert call(place, step, *WORDS).silent
    assert place.left() == []


@pytest.mark.parametrize("key", ["", "run", "--detach", "2026112501300\x1b", "1" * 99])
def test_a_timestamp_that_is_none_is_refused(place, key):
    result = call(place, "PRE-DLE-BACKUP", "--timestamp", key)
    assert (result.code, result.out) == (64, "")
    assert place.left() == []
