"""``pre --within``: a caller's limit is kept, by real commands and against real ones."""

from __future__ import annotations

import pytest

SLOW = "{{stranger: {{then: {command}}}}}"
DEAF = "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.05; done\n"
HANGS = """
import time
from holdstill.plugin import hookimpl

@hookimpl
def {hook}({argument}):
    if not __import__("pathlib").Path("{opened}").exists():
        time.sleep(600)
"""


LIMIT = "20s"
"Of which a quarter is left for letting go: enough on a host with other work, too."


def fails_in_time(result):
    assert (result.code, result.out, result.err.count("\n")) == (69, "", 1)
    assert "It was not done within 15s, and was ended: of the 20s that the caller gives" in result.err
    return True


def test_what_takes_too_long_fails_and_holds_nothing(place):
    place.write(open_=SLOW.format(command="sleep 600"))
    assert fails_in_time(place.run("pre", "nightly", "--within", LIMIT))
    assert place.left() == []


def test_what_does_not_listen_when_it_is_told_to_end_is_killed(place):
    deaf = place.root / "deaf.sh"
    deaf.write_text(DEAF)
    deaf.chmod(0o755)
    place.write(open_=SLOW.format(command=deaf))
    assert fails_in_time(place.run("pre", "nightly", "--within", LIMIT))
    assert place.left() == []


@pytest.mark.parametrize("within", ["1m", "240s", "240", "0.5h"])
def test_a_limit_that_is_long_enough_changes_nothing(place, within):
    assert place.run("pre", "nightly", f"--within={within}").silent
    assert place.tree.exists()


@pytest.mark.parametrize("within", ["0", "soon", "-4s", "1w", ""])
def test_what_is_no_time_is_said(place, within):
    result = place.run("pre", "nightly", f"--within={within}")
    assert (result.code, result.out, result.err.count("\n")) == (64, "", 1)
    assert "--within" in result.err


@pytest.mark.parametrize(
    ("hook", "argument"), [("holdstill_expose", "run"), ("holdstill_finished", "run")], ids=["work", "end"]
)
def test_a_plugin_that_hangs_is_given_up_in_time_and_somebody_else_lets_go(place, gate, hook, argument):
    place.plugin("odd", HANGS.format(hook=hook, argument=argument, opened=gate.opened))
    place.write(open_=SLOW.format(command="sleep 600" if hook == "holdstill_finished" else "ls"))
    process = place.start("pre", "nightly", "--within", "4s")
    result = place.wait(process)
    gate.opened.touch()
    assert (result.code, result.out, result.err.count("\n")) == (70, "", 1)
    assert "did not end within 3.75 s, so this process ends itself" in result.err
    # it may not have begun when the one that was given up has ended
    place.eventually(lambda: place.run("held", "--wait").code == 0)
    assert place.left() == []


def test_what_the_hook_of_a_caller_is_given_counts_as_well(place):
    place.write(open_=SLOW.format(command="sleep 600"))
    assert fails_in_time(place.run("hook", "--job=nightly", f"--within={LIMIT}", "kopia", "before"))
    assert place.left() == []
