"""A stranger's plugin that hangs, in each of its hooks: the run ends, and what it holds is let go of all the same."""

from __future__ import annotations

import subprocess
import sys

import pytest

from holdstill.run.lock import is_recovering

HANGS = """
import time
from contextlib import contextmanager
from pathlib import Path

from holdstill.plugin import Tree, hookimpl

PLACE = Path("{place}")

def hang(hook):
    while (PLACE / "hang").exists() and (PLACE / "hang").read_text() == hook:
        time.sleep(0.02)

@hookimpl
def holdstill_prepare(run): hang("prepare")

@hookimpl
def holdstill_expose(run): hang("expose")

@hookimpl
def holdstill_backup(run): hang("backup")

@hookimpl
def holdstill_release(run): hang("release")

@hookimpl
def holdstill_verify(run): hang("verify")

@hookimpl
def holdstill_finished(run, outcome): hang("finished")

@hookimpl
def holdstill_check(steps, host): hang("check")

@hookimpl
def holdstill_open(step, sources, hold, host):
    hold.promise("a file", by_hand=["rm", "-f", str(PLACE / "opened")], file=str(PLACE / "opened"))
    (PLACE / "opened").touch()
    hang("open")
    return sources

@hookimpl
def holdstill_still(facts, host): hang("still")

@hookimpl
def holdstill_undo(facts, host):
    hang("undo")
    Path(facts["file"]).unlink(missing_ok=True)

@hookimpl
def holdstill_make_backup(step, guests, hold, host, progress):
    hang("make_backup")
    return {{}}

@hookimpl
def holdstill_verify_backup(step, backup, host, progress): hang("verify_backup")

@hookimpl
def holdstill_quiesce(step, host): return quiet()

@contextmanager
def quiet():
    (PLACE / "quiet").touch()
    hang("quiesce")
    yield
    hang("thaw")
    (PLACE / "quiet").unlink()
"""

HURRIED = """
import sys
from holdstill.plugins import overseer
hook, arguments = sys.argv[1], sys.argv[2:]
overseer.LIMITS = {hook: 4.0}
from holdstill import cli
sys.argv[1:] = arguments
cli.main()
"""
"""holdstill with a limit of seconds for one hook, of which other plugins need some when the host is at other work.

What it starts in the background has the limits of everybody.
"""

HOOKS = (
    *("prepare", "expose", "backup", "release", "verify", "finished", "check", "open", "still"),
    *("undo", "make_backup", "verify_backup", "quiesce", "thaw"),
)


@pytest.fixture
def hung_place(place):
    """A job whose guest, backup and verification are the stranger's."""
    place.plugin("hangs", HANGS.format(place=place.root))
    place.write(open_="stranger, hangs", job="backup: hangs\nverify: [hangs]")
    place.config.write_text(place.config.read_text().replace("    open:", "    quiesce: [hangs]\n    open:"))
    return place


def hurried(place, hook):
    place.command = (sys.executable, "-c", HURRIED, f"holdstill_{'quiesce' if hook == 'thaw' else hook}")
    (place.root / "hang").write_text(hook)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_run_ends_itself_and_its_hold_is_let_go_of_in_the_background(hung_place, hook):
    usual = hung_place.command
    hurried(hung_place, hook)
    result = hung_place.run("run", "nightly", "--log", "terminal")
    assert result.code == 70
    name = "quiesce" if hook == "thaw" else hook
    assert f"holdstill_{name} did not end within 4 s, so this process ends itself" in result.err
    assert ", in hang" in result.err, "where it hangs is in the log"
    (hung_place.root / "hang").unlink()
    hung_place.command = usual
    assert hung_place.run("held", "--wait").code == 0
    hung_place.eventually(lambda: hung_place.left() == [])
    assert not (hung_place.root / "opened").exists()


def test_a_recover_that_is_given_up_leaves_it_to_the_next_one(hung_place):
    usual = hung_place.command
    assert hung_place.run("pre", "nightly").silent
    [journal] = hung_place.state.glob("journals/*.jsonl")
    journal.write_text(journal.read_text().replace(hung_place.held()[0]["lease_ends"].__str__(), "0"))
    hurried(hung_place, "undo")
    result = hung_place.run("recover", "--log", "terminal")
    assert result.code == 70
    assert "«holdstill recover» lets go of what is held" in result.err
    (hung_place.root / "hang").unlink()
    hung_place.command = usual
    assert [held["state"] for held in hung_place.held()] == ["abandoned"]
    assert hung_place.run("recover").silent
    assert hung_place.left() == []


def test_a_run_that_is_given_up_ends_whatever_fails_meanwhile(hung_place):
    hurried(hung_place, "expose")
    broken = "from holdstill.cli import overseeing\noverseeing.start_in_background = None\n"
    hung_place.command = (*hung_place.command[:2], broken + HURRIED, *hung_place.command[3:])
    assert hung_place.run("run", "nightly").code == 70


def test_who_waits_waits_for_the_one_that_was_started_to_let_go(place):
    """It waits for the end of the process that was given up, and begins a moment after that."""
    assert place.run("pre", "nightly").silent
    [journal] = place.state.glob("journals/*.jsonl")
    journal.write_text(journal.read_text().replace(str(place.held()[0]["lease_ends"]), "0"))
    given_up = subprocess.Popen(["sleep", "600"])
    try:
        recover = place.start("recover", f"--after={given_up.pid}")
        place.eventually(lambda: is_recovering(place.state / "locks"))
        waiting = place.start("held", "nightly", "--wait")
        assert place.run("held", "nightly", "--wait=0.1").code == 81
        assert waiting.poll() is None
    finally:
        given_up.kill()
        given_up.wait()
    assert place.wait(waiting).code == 0
    assert place.wait(recover).silent


def test_check_ends_too(hung_place):
    hurried(hung_place, "check")
    result = hung_place.run("check")
    assert result.code == 70
    assert "holdstill_check did not end within 4 s" in result.err


# The job's own limits


def test_a_backup_that_takes_too_long_is_ended_in_order_and_has_failed(place):
    place.write(job="backup: {command: {run: [sh, -c, sleep 600]}}\nbackup-within: 0.2")
    result = place.run("run", "nightly")
    assert result.code == 79
    assert "It did not end within 0.2s, and was ended." in result.err
    assert place.left() == []


def test_a_verification_that_takes_too_long_has_failed(place):
    place.write(
        job="backup: {command: {run: 'true'}}\nverify: {command: {run: [sh, -c, sleep 600]}}\nverify-within: 0.2"
    )
    result = place.run("run", "nightly")
    assert result.code == 80
    assert "did not end within 0.2s" in result.err
    assert place.left() == []
