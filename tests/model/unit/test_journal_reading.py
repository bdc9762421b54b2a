"""What a journal tells, whatever has become of its file."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdstill.journal.records import VERSION, HandedOver, Header, Promise, Undone, decode, encode
from holdstill.journal.story import Story, tell

texts = st.text()
numbers = st.integers(0, 2**63 - 1)
moments = st.floats(0, 1e12)
facts = st.dictionaries(texts, st.one_of(texts, st.integers(-(2**63), 2**63 - 1), st.lists(texts)))
headers = st.builds(
    Header,
    version=st.just(VERSION),
    id=texts,
    job=texts,
    session=texts,
    trees=texts,
    started=moments,
    boot=texts,
    pid=numbers,
    release_within=moments,
)
promises = st.builds(
    Promise, number=numbers, plugin=texts, guest=texts, what=texts, by_hand=texts, facts=facts
)
later = st.one_of(promises, st.builds(Undone, number=numbers), st.builds(HandedOver, lease_ends=moments))
journals = st.builds(lambda header, records: [header, *records], headers, st.lists(later, max_size=6))
garbage = st.one_of(st.binary(), st.text("\0").map(str.encode), st.binary().map(lambda tail: tail + b"\n"))


def told_by(records):
    """What these records tell, worked out another way."""
    lines = b"".join(map(encode, records))
    return Story(
        header=records[0] if records else None,
        promises=tuple(record for record in records if type(record) is Promise),
        undone=frozenset(record.number for record in records if type(record) is Undone),
        handed_over=([None] + [record for record in records if type(record) is HandedOver])[-1],
        whole=len(lines),
    )


@given(st.one_of(headers, later))
def test_a_record_is_read_as_it_was_written_and_is_one_line(record):
    line = encode(record)
    assert decode(line) == record
    assert line.index(b"\n") == len(line) - 1


@given(journals, st.data())
def test_any_beginning_of_a_journal_tells_exactly_the_whole_records_in_it(records, data):
    content = b"".join(map(encode, records))
    cut = data.draw(st.integers(0, len(content)))
    ends = [len(b"".join(map(encode, records[: count + 1]))) for count in range(len(records))]
    assert tell(content[:cut]) == told_by(
        [record for record, end in zip(records, ends, strict=True) if end <= cut]
    )


@given(journals, garbage)
def test_a_torn_tail_of_anything_is_passed_over(records, tail):
    assume(all(decode(line) is None for line in tail.split(b"\n")))
    assert tell(b"".join(map(encode, records)) + tail) == told_by(records)


@given(journals, st.integers(1, 5000))
def test_a_tail_of_zeros_as_some_file_systems_leave_it_is_passed_over(records, length):
    assert tell(b"".join(map(encode, records)) + b"\0" * length) == told_by(records)


@given(journals, st.data())
def test_a_bad_line_before_a_good_one_is_damage_and_the_rest_is_still_told(records, data):
    assume(len(records) > 1)
    bad = data.draw(st.integers(0, len(records) - 2))
    lines = [encode(record) for record in records]
    lines[bad] = lines[bad][:-2] + b"\n"
    story = tell(b"".join(lines))
    assert story.damage == f"line {bad + 1} of {len(records)} cannot be read"
    left = [record for number, record in enumerate(records) if number != bad]
    assert story.promises == tuple(record for record in left if type(record) is Promise)
    assert story.undone == {record.number for record in left if type(record) is Undone}


@given(promises, st.binary())
def test_a_journal_that_does_not_say_whose_it_is_is_damaged_and_its_promises_are_still_told(promise, before):
    assume(all(decode(line) is None for line in before.split(b"\n")))
    story = tell(before + b"\n" + encode(promise))
    assert story.damage
    assert story.open == (promise,)
    assert tell(encode(promise)).damage == "its first line does not say which run it is"


@given(journals)
def test_what_is_open_is_what_was_promised_and_not_undone_in_order(records):
    story = tell(b"".join(map(encode, records)))
    undone = [record.number for record in records if type(record) is Undone]
    assert story.open == tuple(r for r in records if type(r) is Promise and r.number not in undone)


@given(journals, st.integers(VERSION + 1, 2**31))
def test_a_journal_of_a_newer_version_says_so(records, version):
    newer = msgspec.structs.replace(records[0], version=version)
    story = tell(encode(newer) + b'{"record":"of a kind to come"}\n' + b"".join(map(encode, records[1:])))
    assert story.newer
    assert story.damage.startswith(f"it was written by a newer holdstill (journal version {version}")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"record":"promise"}',
        b'{"record":"undone","number":"1"}',
        b'{"record":"handed-over","lease_ends":null}',
        b'{"record":"undone","number":1}{"record":"undone","number":2}',
        b'{"record":"undone","number":1}\0\0',
        b'\xff{"record":"undone","number":1}',
    ],
)
def test_a_line_that_is_no_record_is_none(line):
    assert decode(line) is None


def test_a_key_that_a_later_release_added_does_not_make_a_record_unreadable():
    assert decode(b'{"record":"undone","number":1,"since":"version 1.5"}') == Undone(number=1)


@given(st.binary(min_size=1))
def test_what_something_overwrote_from_its_beginning_is_damage_also_without_an_end_of_line(content):
    assume(not any(decode(line) for line in content.split(b"\n")))
    assume(content.strip(b"\0") and not content.startswith(b"{"))
    assert tell(content).damage == "nothing in it can be read"


@given(headers, st.data())
def test_a_first_line_that_was_torn_is_no_damage_because_nothing_was_promised(header, data):
    line = encode(header)
    assert (
        tell(line[: data.draw(st.integers(0, len(line) - 1))] + b"\0" * data.draw(st.integers(0, 9))).damage
        == ""
    )
