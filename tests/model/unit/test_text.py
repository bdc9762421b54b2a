"""Text from outside, made safe to show."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdstill.text import nearest, one_line, printable

anything = st.text(st.characters())  # surrogates, control characters and all


@given(anything)
def test_whatever_is_shown_is_one_line_without_control_characters(text):
    assert printable(text).isprintable()


@given(st.text(st.characters(categories=["L", "N", "P"])))
def test_ordinary_text_is_shown_as_it_is(text):
    assert printable(text) == text


def test_what_could_rewrite_a_terminal_is_shown_as_what_it_is():
    assert printable("a\x1b[2Jb\rc\x9bd\u202ee") == r"a\x1b[2Jb\rc\x9bd\u202ee"
    assert printable("one\ntwo") == "one; two"


@given(anything, st.integers(10, 1000))
def test_one_line_never_takes_more_bytes_than_it_may(text, limit):
    line = one_line(text, limit)
    assert line.isprintable()
    assert len(line.encode()) <= limit


@given(st.text(st.characters(categories=["L"]), min_size=1, max_size=300))
def test_what_fits_is_not_shortened(text):
    assert one_line(text) == text[: len(text)] if len(text.encode()) <= 1000 else one_line(text).endswith("…")


@given(st.text(), st.lists(st.text()))
def test_a_hint_names_a_known_word_or_nothing(word, known):
    assert nearest(word, known) in {"", *(f"; did you mean {name!r}?" for name in known)}


def test_a_misspelt_word_gets_the_nearest_one():
    assert nearest("kparx", ["kpartx", "partitions", "mount"]) == "; did you mean 'kpartx'?"
    assert nearest("zzz", ["kpartx", "mount"]) == ""
