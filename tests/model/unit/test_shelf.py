"""All journals of the host, and whose each hold is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdstill.errors import PermissionRefusedError, StorageError
from holdstill.journal import shelf
from holdstill.journal.journal import Journal
from holdstill.journal.records import HandedOver, Header, encode
from holdstill.journal.shelf import Now, State, boot_id, holds, journals_in

BOOT = "the-boot-of-the-test"
moments = st.floats(0, 1e10)


def states(state, *, boot=BOOT, now=0.0, boottime=0.0):
    return [held.state for held in holds(state, boot, Now(now, boottime))]


def test_nothing_is_held_where_nothing_ever_was(state):
    assert list(holds(state, BOOT)) == []


def test_holds_are_told_oldest_first(state, make_journal):
    made = [make_journal(id=name) for name in ("20240102T", "20240101T", "20231231T")]
    assert [held.run for held in holds(state, BOOT)] == ["20231231T", "20240101T", "20240102T"]
    assert [held.story.header for held in holds(state, BOOT)] == [one.story.header for one in reversed(made)]


def test_only_journals_are_told(state, journal):
    for name in (".20240101T.new", "x.damaged", "notes.txt"):
        journals_in(state).joinpath(name).touch()
    assert [held.path for held in holds(state, BOOT)] == [journal.path]


def test_a_run_that_works_is_living(state, journal):
    assert states(state) == [State.LIVING]
    journal.leave()
    assert states(state) == [State.ABANDONED]


def test_what_was_handed_over_waits_for_its_post_until_the_lease_ends(state, journal):
    journal.hand_over(100.0)
    assert states(state, now=99.9) == [State.HANDED_OVER]
    assert states(state, now=100.0) == [State.ABANDONED]


def test_what_was_handed_over_before_a_boot_is_abandoned(state, journal):
    journal.hand_over(100.0)
    assert states(state, boot="a later boot") == [State.ABANDONED]


def test_the_clock_that_nobody_sets_decides_where_the_lease_tells_it(state, journal):
    journal.hand_over(100.0, 5.0)
    assert states(state, now=200.0, boottime=4.9) == [State.HANDED_OVER]
    assert states(state, now=0.0, boottime=5.0) == [State.ABANDONED]


@given(moments, moments, st.booleans())
def test_the_lease_and_the_boot_alone_decide_about_a_hold_that_nobody_works_on(
    tmp_path_factory, lease, now, booted
):
    state = tmp_path_factory.mktemp("state", numbered=True)
    journals_in(state).mkdir()
    header = Header(id="r", job="j", session="s", trees="", started=0, boot=BOOT, pid=1, release_within=1)
    journals_in(state).joinpath("r.jsonl").write_bytes(encode(header) + encode(HandedOver(lease_ends=lease)))
    waits = now < lease and not booted
    expected = State.HANDED_OVER if waits else State.ABANDONED
    assert states(state, boot="another" if booted else BOOT, now=now) == [expected]


def test_a_post_that_dies_or_fails_leaves_an_abandoned_hold_not_a_waiting_one(state, journal):
    journal.hand_over(100.0)
    taken = Journal.take(journal.path)
    assert states(state) == [State.LIVING]
    taken.leave()
    assert states(state) == [State.ABANDONED]


def test_a_run_that_hands_over_while_we_look_is_never_taken_for_dead(state, journal, mocker):
    real = shelf.tell

    def tell(content):
        journal.hand_over(100.0)
        return real(content)

    mocker.patch.object(shelf, "tell", tell)
    assert State.ABANDONED not in states(state)


def test_a_run_that_ends_while_we_look_is_not_told(state, journal, mocker):
    real = shelf.taken

    def taken(descriptor):
        journal.close()
        return real(descriptor)

    mocker.patch.object(shelf, "taken", taken)
    assert states(state) == []


@pytest.mark.parametrize("content", [b"", b"\0" * 100, b"rubbish\n"])
def test_a_journal_that_tells_nothing_is_still_told_of(state, journal, content):
    journal.leave()
    journal.path.write_bytes(content)
    [held] = holds(state, BOOT)
    assert (held.run, held.state, held.story.header) == (journal.path.stem, State.ABANDONED, None)


def test_a_journal_that_cannot_be_read_is_told_of_with_the_others(state, journal):
    unreadable = journals_in(state) / "20240101T.jsonl"
    unreadable.mkdir()  # reading it fails, as on a bad disk
    first, second = holds(state, BOOT)
    assert (first.path, first.state, first.story.header) == (unreadable, State.ABANDONED, None)
    assert first.story.damage == "reading it fails: Is a directory"
    assert second.path == journal.path


@pytest.mark.usefixtures("journal")
def test_whoever_may_not_look_is_told_who_may(state, mocker):
    mocker.patch("pathlib.Path.iterdir", side_effect=PermissionError(13, "Permission denied"))
    with pytest.raises(PermissionRefusedError, match="root only; try «sudo holdstill …»"):
        list(holds(state, BOOT))


def test_a_folder_of_journals_that_is_none_is_a_sentence(state):
    state.mkdir(exist_ok=True)
    journals_in(state).write_text("no folder")
    with pytest.raises(StorageError, match=r"The journals in .* cannot be read: Not a directory\."):
        list(holds(state, BOOT))


def test_this_boot_has_an_id_that_stays():
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36
