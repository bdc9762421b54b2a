"""The script that burp's client calls; tests/host/callers has burp itself."""

from __future__ import annotations

import pytest

from holdstill.callers import Given, hook_of
from holdstill.errors import UsageError

RESERVED = ("reserved3", "reserved4", "reserved5")


def test_before_a_backup_the_guests_are_held_and_after_it_they_are_let_go_of(place):
    assert place.run("hook", "--job=nightly", "burp", "pre", "reserved2", *RESERVED).silent
    assert [held["session"] for held in place.held()] == ["default"]
    assert place.run("hook", "--job=nightly", "burp", "post", "0", *RESERVED).silent
    assert place.left() == []


@pytest.mark.parametrize(("status", "verdict"), [("0", "ok"), ("1", "failed")])
def test_what_burp_says_of_its_backup_is_passed_on(status, verdict):
    call = hook_of("burp")(Given("nightly", ("post", status, *RESERVED), {}))
    assert (call.do, call.verdict) == ("post", verdict)


@pytest.mark.parametrize("words", [(), ("post",), ("post", "2", *RESERVED), ("restore", "0")])
def test_words_that_are_not_burps_are_refused(words):
    with pytest.raises(UsageError, match="burp calls with 'pre', 'post 0' or 'post 1'"):
        hook_of("burp")(Given("nightly", words, {}))
