"""Sizes and times as people write them."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdstill.units import BYTES, SECONDS, Duration, Size, human_bytes

numbers = st.integers(0, 10**6)
shares = st.integers(0, 1000)
units = st.sampled_from(sorted(SECONDS))


@given(numbers, units, st.sampled_from(["", " "]))
def test_a_time_is_its_number_times_its_unit(number, unit, space):
    seconds = number * SECONDS[unit]
    if seconds <= 3650 * 86400:
        assert Duration.parse(f"{number}{space}{unit}") == seconds


@given(st.integers(0, 3650 * 86400))
def test_a_time_that_is_shown_can_be_read_again(seconds):
    assert Duration.parse(str(Duration(seconds))) == seconds


def test_a_time_is_shown_in_the_largest_unit_that_fits():
    shown = [str(Duration(seconds)) for seconds in (0, 0.5, 90, 300, 7200, 172800, 1234567)]
    assert shown == ["0s", "0.5s", "90s", "5m", "2h", "2d", "1234567s"]


@pytest.mark.parametrize("written", ["", "5 minutes", "-5", "5M", "1h30m", "m", True, None, "1e3", "٣s", [5]])
def test_what_is_no_time_is_refused_with_a_sentence_that_shows_the_right_way(written):
    with pytest.raises(ValueError, match=re.escape(f"{written!r} is not a time; write seconds")):
        Duration.parse(written)


@pytest.mark.parametrize("written", ["9" * 400, "3651d", "400000000"])
def test_an_endless_time_is_refused(written):
    with pytest.raises(ValueError, match="is longer than 3650 days"):
        Duration.parse(written)


@given(numbers, st.sampled_from(["", "B", "K", "M", "G", "KiB", "MB", " GiB"]))
def test_a_size_is_its_number_times_a_power_of_1024(number, unit):
    factor = BYTES[unit.strip()[:1]]
    assert Size.parse(f"{number}{unit}").bytes(origin=0, free=0) == number * factor


@given(shares, st.integers(0, 2**50), st.integers(0, 2**50))
def test_a_share_is_of_the_origin_or_of_what_is_free(share, origin, free):
    assert Size.parse(f"{share}%ORIGIN").bytes(origin=origin, free=free) == int(share * float(origin) / 100)
    assert Size.parse(f"{share}%FREE").bytes(origin=origin, free=free) == int(share * float(free) / 100)


@pytest.mark.parametrize(
    "written", ["", "10X", "10%", "10%VG", "-1G", "1.G", "5iB", "5BB", "G", None, "\u0661G"]
)
def test_what_is_no_size_is_refused_with_a_sentence_that_shows_the_right_way(written):
    with pytest.raises(ValueError, match=re.escape(f"{written!r} is not a size; write bytes")):
        Size.parse(written)


@pytest.mark.parametrize("written", ["9" * 400, "9999999T", "9" * 400 + "%FREE"])
def test_a_size_beyond_any_disk_is_refused(written):
    with pytest.raises(ValueError, match="is more than any disk has"):
        Size.parse(written)


@given(
    st.one_of(st.from_regex(Size.PATTERN, fullmatch=True), st.text("0123456789. KMGTiB%ORIGNFE", max_size=12))
)
def test_the_pattern_that_editors_get_accepts_the_sizes_that_are_accepted(written):
    assert bool(re.fullmatch(Size.PATTERN, written.strip())) == _reads(Size, written)


@given(st.one_of(st.from_regex(Duration.PATTERN, fullmatch=True), st.text("0123456789. smhdx", max_size=8)))
def test_the_pattern_that_editors_get_accepts_the_times_that_are_accepted(written):
    assert bool(re.fullmatch(Duration.PATTERN, written.strip())) == _reads(Duration, written)


def _reads(kind, written):
    try:
        kind.parse(written)
    except ValueError as error:
        return "is longer than" in str(error) or "than any disk" in str(error)
    return True


def test_sizes_are_equal_when_they_mean_the_same():
    assert Size.parse("1G") == Size.parse("1024M") != Size.parse("1%FREE")
    assert len({Size.parse("1G"), Size.parse("1024M")}) == 1
    assert [str(Size.parse(text)) for text in ("1G", "10%ORIGIN")] == ["1.0 GiB", "10%ORIGIN"]


def test_bytes_are_written_for_people():
    shown = [human_bytes(amount) for amount in (0, 1023, 1024, 1.5 * 2**20, 2**30, 2**50)]
    assert shown == ["0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB", "1.0 GiB", "1024.0 TiB"]
