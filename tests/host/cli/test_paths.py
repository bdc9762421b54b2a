"""``holdstill paths``: where the guests' files will be, for who asks before they are there."""

from __future__ import annotations

import pytest

from holdstill.cli.forms import FORMS

TWO = """
guests:
  web: {{disks: [{disk}], snapshot: stranger, open: [stranger]}}
  raw: {{disks: [{disk}], snapshot: stranger, open: []}}
  mail: {{disks: [{disk}], snapshot: stranger, open: stranger}}
jobs:
  nightly: {{guests: [web, raw, mail]}}
"""


@pytest.fixture
def two_guests(place):
    """A job of two guests that are opened, and one whose disks are read as they are."""
    place.config.write_text(TWO.format(disk=place.disk))
    return place


@pytest.mark.parametrize("form", FORMS)
def test_they_are_told_before_while_and_after_the_job_is_held_as_pre_tells_them(two_guests, form):
    planned = two_guests.run("paths", "nightly", "--print", form)
    assert (planned.code, planned.err) == (0, "")
    assert two_guests.left() == []
    assert two_guests.run("pre", "nightly", "--print", form) == planned
    assert two_guests.run("paths", "nightly", "--print", form) == planned
    assert two_guests.run("post", "nightly").silent
    assert two_guests.run("paths", "nightly", "--print", form) == planned


def test_unless_told_otherwise_it_is_a_line_for_each_guest_that_is_opened(two_guests):
    folder = two_guests.trees / "nightly"
    assert two_guests.run("paths", "nightly").out == f"{folder}/web\n{folder}/mail\n"


def test_neither_the_disks_nor_the_plugins_need_be_there(two_guests):
    two_guests.disk.unlink()
    two_guests.plugins.joinpath("stranger.py").unlink()
    assert two_guests.run("paths", "nightly").code == 0


def test_they_are_told_while_another_process_works_on_the_job(place, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    process = place.start("pre", "nightly")
    place.eventually(gate.reached.exists)
    assert place.run("paths", "nightly").out == f"{place.tree}\n"
    gate.opened.touch()
    assert place.wait(process).silent


@pytest.mark.parametrize(
    ("break_it", "code", "said"),
    [
        (lambda _place: None, 66, "There is no job 'nihgtly'; did you mean 'nightly'?"),
        (lambda place: place.config.unlink(), 78, "site.yaml"),
        (lambda place: place.config.write_text("jobs: [}"), 78, "site.yaml:1"),
    ],
)
def test_what_cannot_be_told_is_one_line_on_standard_error_and_none_on_output(place, break_it, code, said):
    break_it(place)
    result = place.run("paths", "nihgtly")
    assert (result.code, result.out, result.err.count("\n")) == (code, "", 1)
    assert said in result.err


def test_a_guest_that_there_is_not_has_no_path(place):
    place.config.write_text(place.config.read_text().replace("[web]", "[wbe]"))
    result = place.run("paths", "nightly")
    assert (result.code, result.out) == (78, "")
    assert "The job 'nightly' is of a guest 'wbe', which there is not; did you mean 'web'?" in result.err
