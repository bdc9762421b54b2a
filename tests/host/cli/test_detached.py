"""Holding and letting go in the background: answered at once, and kept, or ended, by nothing of the caller's."""

from __future__ import annotations

import fcntl
import os
import re
import signal
from pathlib import Path

import pytest

from holdstill.errors import UnavailableError
from holdstill.host import detached
from holdstill.host.failures import CommandFailedError

pytestmark = pytest.mark.skipif(detached.SYSTEMD.is_dir(), reason="where systemd runs, a scenario shows it")

SLOW_RELEASE = """
from holdstill.plugin import hookimpl

@hookimpl
def holdstill_release(run):
    run.host.run("{gate}")
"""


@pytest.fixture
def slow_place(place, gate):
    """A held place whose release stops at a gate."""
    place.plugin("slow", SLOW_RELEASE.format(gate=gate.script))
    assert place.run("pre", "nightly").silent
    return place


def states(place):
    return [held["state"] for held in place.held()]


def test_post_answers_while_somebody_lets_go_and_held_waits_for_the_end(slow_place, gate):
    assert slow_place.run("post", "nightly", "--detach").silent
    assert states(slow_place) == ["living"]
    waiting = slow_place.start("held", "nightly", "--wait")
    slow_place.eventually(gate.reached.exists)
    assert waiting.poll() is None
    gate.opened.touch()
    assert slow_place.wait(waiting).code == 0
    assert slow_place.left() == []


def test_with_nothing_held_there_is_nothing_to_start(place):
    assert place.run("post", "nightly", "--detach").silent


def test_a_second_post_with_and_without_detach_changes_nothing(slow_place, gate):
    for _ in range(3):
        assert slow_place.run("post", "nightly", "--detach").silent
    waiting = slow_place.start("post", "nightly")
    gate.opened.touch()
    assert slow_place.wait(waiting).silent
    assert slow_place.run("held", "--wait").code == 0
    assert slow_place.left() == []


def test_nothing_of_the_callers_is_kept_open(slow_place):
    lock = os.open(slow_place.root / "callers.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    process = slow_place.start("post", "nightly", "--detach", pass_fds=[lock])
    os.close(lock)
    assert slow_place.wait(process).silent  # reads both pipes to their end
    again = os.open(slow_place.root / "callers.lock", os.O_RDWR)
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)
    assert states(slow_place) == ["living"]


def test_the_end_of_the_callers_process_group_does_not_end_it(slow_place, gate):
    argv = (*slow_place.command, "post", "nightly", "--detach")
    slow_place.command = ("sh", "-c", '"$@"; echo answered; sleep 600', "sh", *argv)
    caller = slow_place.start(start_new_session=True)
    assert caller.stdout.readline() == "answered\n"
    os.killpg(caller.pid, signal.SIGKILL)
    slow_place.command = argv[:-3]
    slow_place.eventually(gate.reached.exists)
    gate.opened.touch()
    assert slow_place.run("held", "--wait").code == 0
    assert slow_place.left() == []


def test_a_folder_of_the_callers_for_temporary_files_is_not_used(held_place):
    folder = held_place.root / ("long" * 30)
    folder.mkdir()
    more = {"env": os.environ | held_place.environment | {"TMPDIR": str(folder)}}
    assert held_place.run("post", "nightly", "--detach", **more).silent
    assert held_place.run("held", "--wait").code == 0


def test_what_is_still_held_when_the_time_is_over_is_81(slow_place):
    assert slow_place.run("post", "nightly", "--detach").silent
    assert slow_place.run("held", "nightly", "--wait=0.1").code == 81
    assert slow_place.run("held", "nightly").code == 0
    assert slow_place.run("held", "another", "--wait=0.1").code == 0
    assert slow_place.run("held", "nightly", "--session", "another", "--wait=0.1").code == 0


def test_what_cannot_be_let_go_of_in_the_background_is_81(place):
    stuck = place.root / "stuck"
    stuck.touch()
    place.write(open_=f"{{stranger: {{stuck_while: {stuck}}}}}", job="release-within: 0")
    assert place.run("pre", "nightly").silent
    assert place.run("post", "nightly", "--detach").silent
    assert place.run("held", "--wait").code == 81
    stuck.unlink()
    assert place.run("post", "nightly", "--detach").silent
    assert place.run("held", "--wait").code == 0
    assert place.left() == []


def test_a_hold_that_did_not_last_is_told_by_held_and_by_the_next_post(place):
    place.config.write_text(
        place.config.read_text().replace("snapshot: stranger", "snapshot: {stranger: {overflow: true}}")
    )
    assert place.run("pre", "nightly").silent
    assert place.run("post", "nightly", "--detach").silent
    told = place.run("held", "nightly", "--wait")
    assert (told.code, "did not hold to the end" in told.err) == (79, True)
    assert place.run("held").code == 0
    assert place.run("post", "nightly", "--detach").code == 79
    assert place.run("post", "nightly", "--detach").silent
    assert place.left() == []


def test_a_background_that_does_not_begin_is_told_and_nothing_is_let_go_of(held_place):
    held_place.command = (held_place.command[0].replace("holdstill", "python"), "-c", NO_BEGIN)
    result = held_place.run("post", "nightly", "--detach")
    assert result.code == 71
    assert "ended before it had begun" in result.err
    assert held_place.tree.exists()


def test_what_does_not_begin_in_time_is_told_to_end(monkeypatch, place):
    monkeypatch.setattr(detached, "SYSTEMD", place.root / "no-systemd")
    with pytest.raises(CommandFailedError, match="did not begin within") as failed:
        detached.start_detached("late", ["sleep", "600"], within=0.1)
    [pid] = re.findall(r"\(pid (\d+)\)", str(failed.value))
    place.eventually(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z")


@pytest.mark.parametrize(("name", "argv"), [("gone", ["true"]), (".", ["/no/such/program"])])
def test_what_cannot_be_started_is_a_sentence(monkeypatch, place, name, argv):
    """A «pre» that holds already must not fail because nobody can look after it."""
    monkeypatch.setattr(detached, "SYSTEMD", place.root / "no-systemd")
    monkeypatch.setattr(detached, "TEMPORARY", str(place.root / name))
    with pytest.raises(UnavailableError, match=r"in the background: .*: No such file or directory"):
        detached.start_detached("never", argv)


NO_BEGIN = """
import sys
from holdstill import cli
sys.executable = "/bin/false"
cli.main()
"""


@pytest.mark.parametrize("more", ["--strict", "--json"])
def test_detach_has_no_use_for_what_tells_the_end(held_place, more):
    assert held_place.run("post", "nightly", "--detach", more).code == 64
    assert held_place.tree.exists()


@pytest.mark.parametrize("time_", ["soon", "-1"])
def test_a_wait_of_no_time_is_refused(place, time_):
    assert place.run("held", f"--wait={time_}").code == 64


def test_what_looks_after_a_hold_outlives_the_callers_process_group(place):
    place.plugin("tended", TENDED)
    argv = (*place.command, "pre", "nightly")
    place.write(open_="stranger, tended")
    place.command = ("sh", "-c", '"$@"; echo answered; sleep 600', "sh", *argv)
    caller = place.start(start_new_session=True)
    assert caller.stdout.readline() == "answered\n"
    os.killpg(caller.pid, signal.SIGKILL)
    looked = place.root / "looked"
    place.eventually(looked.exists)
    before = looked.stat().st_mtime_ns
    place.eventually(lambda: looked.stat().st_mtime_ns > before)
    place.command = argv[:-2]
    assert place.run("post", "nightly").silent
    pid = int(looked.read_text())
    place.eventually(lambda: not Path(f"/proc/{pid}").exists())


TENDED = """
import os
from pathlib import Path
from holdstill.plugin import hookimpl

@hookimpl
def holdstill_open(step, sources, hold):
    hold.promise("a look", by_hand="true", file=f"{step.run.trees}/../../looked")
    return sources

@hookimpl
def holdstill_tend(facts):
    fresh = Path(facts["file"] + ".new")  # that it can be read at any time
    fresh.write_text(str(os.getpid()))
    fresh.rename(facts["file"])
    return 0.1

@hookimpl
def holdstill_undo(facts):
    pass
"""


def test_what_the_caller_says_of_its_backup_reaches_the_background(held_place):
    held_place.plugin("listener", LISTENER.format(heard=held_place.root / "heard"))
    assert held_place.run("post", "nightly", "--detach", "--outcome=failed").silent
    assert held_place.run("held", "--wait=90s").code == 0
    assert (held_place.root / "heard").read_text() == "failed"


LISTENER = """
from pathlib import Path
from holdstill.plugin import hookimpl

@hookimpl
def holdstill_finished(outcome):
    Path("{heard}").write_text(outcome.caller_verdict)
"""


# Holding


@pytest.fixture
def slow_to_hold(place, gate):
    """A place where holding stops at a gate, and has been begun in the background."""
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    assert place.run("pre", "nightly", "--detach").silent
    return place


def test_pre_answers_while_somebody_holds_and_held_waits_for_the_end(slow_to_hold, gate):
    assert states(slow_to_hold) == ["living"]
    waiting = slow_to_hold.start("held", "nightly", "--wait")
    slow_to_hold.eventually(gate.reached.exists)
    assert waiting.poll() is None
    gate.opened.touch()
    assert slow_to_hold.wait(waiting).code == 0
    assert states(slow_to_hold) == ["handed over"]
    assert (slow_to_hold.tree / "disk1").read_text() == "the guest's data"
    assert slow_to_hold.run("post", "nightly").silent
    assert slow_to_hold.left() == []


def test_a_post_that_comes_meanwhile_has_it_let_go_and_is_told_that_there_was_nothing_to_back_up(
    slow_to_hold, gate
):
    waiting = slow_to_hold.start("post", "nightly")
    slow_to_hold.eventually(lambda: list(slow_to_hold.state.glob("journals/*.unwanted")))
    gate.opened.touch()
    told = slow_to_hold.wait(waiting)
    assert (told.code, "There was nothing to back up: " in told.err) == (79, True)
    assert slow_to_hold.run("post", "nightly").silent
    assert slow_to_hold.left() == []


def test_what_could_not_be_held_is_told_by_held_and_by_the_next_post(place):
    place.write(open_="{stranger: {then: ls /nonexistent}}")
    assert place.run("pre", "nightly", "--detach").silent
    told = place.run("held", "nightly", "--wait")
    assert (told.code, "There was nothing to back up: " in told.err) == (79, True)
    assert place.run("post", "nightly").code == 79
    assert place.run("post", "nightly").silent
    assert place.left() == []


def test_who_waits_is_told_as_soon_as_nothing_is_held(place, gate):
    place.plugin("slow_to_hear", SLOW_TO_HEAR.format(gate=gate.script))
    place.write(open_="{stranger: {then: ls /nonexistent}}")
    assert place.run("pre", "nightly", "--detach").silent
    place.eventually(gate.reached.exists)
    assert place.run("held", "nightly", "--wait").code == 79
    gate.opened.touch()


SLOW_TO_HEAR = """
import subprocess
from holdstill.plugin import hookimpl

@hookimpl
def holdstill_finished():
    subprocess.run(["{gate}"], check=True)
"""


def test_what_is_wrong_with_the_configuration_is_told_at_once(place):
    place.write(open_="strangr")
    result = place.run("pre", "nightly", "--detach")
    assert (result.code, "did you mean 'stranger'" in result.err) == (78, True)
    assert place.run("pre", "weekly", "--detach").code == 66
    assert place.left() == []


@pytest.mark.parametrize("more", ["--print=path", "--json"])
def test_pre_has_nothing_to_print_before_it_holds(place, more):
    assert place.run("pre", "nightly", "--detach", more).code == 64
    assert place.left() == []


# Plugins that take no part


def test_what_is_to_take_no_part_takes_none_in_the_background_either(place):
    place.plugin("listener", TAKES_PART.format(heard=place.root / "heard"))
    place.write(job="around: [listener]")
    for words in (["pre", "--without=listener"], ["post"], ["pre"], ["post", "--without=listener"]):
        assert place.run(*words, "nightly", "--detach").silent
        assert place.run("held", "--wait").code == 0
    assert not (place.root / "heard").exists()
    assert place.run("pre", "nightly").silent
    assert place.run("post", "nightly").silent
    assert (place.root / "heard").exists()


def test_what_can_take_no_part_is_told_before_anything_is_held(place):
    result = place.run("pre", "nightly", "--without", "rebot")
    assert (result.code, "did you mean 'reboot'" in result.err) == (64, True)
    assert place.left() == []


@pytest.mark.parametrize("more", [(), ("--detach",)])
def test_a_release_is_not_refused_for_it_but_told_of_it(held_place, more):
    result = held_place.run("post", "nightly", "--without", "rebot", *more)
    assert result.code == 64
    assert "there is no plugin 'rebot'; did you mean 'reboot'? It was let go of all the same." in result.err
    assert held_place.run("held", "--wait").code == 0
    assert held_place.left() == []


def test_what_cannot_be_loaded_takes_no_part_as_is_wished(held_place):
    held_place.plugin("broken", "1 / 0")
    assert held_place.run("post", "nightly", "--without", "broken").silent


TAKES_PART = """
from pathlib import Path

import msgspec

from holdstill.plugin import hookimpl

class Options(msgspec.Struct, frozen=True):
    pass

@hookimpl
def holdstill_options():
    return Options

@hookimpl
def holdstill_finished(run):
    if run.around("listener"):
        Path("{heard}").touch()
"""
