"""What callers rely on: exit codes, silence, streams, descriptors, signals; a test a thing that hurt somebody."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sys
from pathlib import Path

import pytest

FORBIDDEN = {1, 2, 3, 4, 5, 75, 255}
"Exit codes that some caller reads as «skip», «go on» or «try again»."


def failed_as_a_hook_should(result, code):
    assert result.code == code
    assert result.code not in FORBIDDEN
    assert result.out == ""
    assert result.err.startswith("holdstill: ")
    assert result.err.count("\n") == 1
    assert result.err.endswith("\n")
    assert len(result.err.encode()) <= 1024
    assert "Traceback" not in result.err
    return True


# Success is silent


def test_pre_that_succeeds_says_nothing_and_the_tree_is_there(place):
    assert place.run("pre", "nightly").silent
    assert (place.tree / "disk1").read_text() == "the guest's data"


def test_post_says_nothing_and_nothing_is_left(held_place):
    assert held_place.run("post", "nightly").silent
    assert held_place.left() == []


def test_post_without_a_hold_succeeds_in_silence(place):
    assert place.run("post", "nightly").silent


@pytest.mark.parametrize("more", [(), ("--detach",), ("--session", "7", "--outcome=failed")])
def test_post_of_a_misspelt_job_says_so(held_place, more):
    result = held_place.run("post", "nighlty", *more)
    assert failed_as_a_hook_should(result, 66)
    assert "There is no job 'nighlty'; did you mean 'nightly'? Known are: nightly." in result.err
    assert held_place.tree.exists()


def test_post_of_a_misspelt_job_by_a_hook_says_so(held_place):
    result = held_place.run("hook", "--job=nighlty", "burp", "post", "0")
    assert failed_as_a_hook_should(result, 66)


def test_post_of_a_job_that_is_held_and_not_configured_any_more_lets_go(held_place):
    held_place.config.write_text(held_place.config.read_text().replace("nightly:", "weekly:"))
    assert held_place.run("post", "nightly", "--session", "another").silent
    assert held_place.run("post", "nightly").silent
    assert held_place.left() == []


@pytest.mark.parametrize("written", ["jobs: [", "jobs: {weekly: {guests: [web], leese: 1h}}"])
def test_post_with_a_configuration_that_is_wrong_succeeds(place, written):
    place.config.write_text(written)
    assert place.run("post", "nightly").silent


def test_post_without_any_configuration_succeeds(place):
    place.config.unlink()
    assert place.run("post", "nightly").silent


def test_post_after_a_pre_that_failed_succeeds_in_silence(place):
    place.write(open_="{stranger: {then: 'false'}}")
    assert place.run("pre", "nightly").code == 71
    assert place.run("post", "nightly").silent


def test_post_twice_succeeds_twice(held_place):
    assert [held_place.run("post", "nightly").silent for _ in range(2)] == [True, True]


def test_pre_twice_takes_a_fresh_hold(held_place):
    held_place.disk.write_text("newer data")
    assert held_place.run("pre", "nightly").silent
    assert (held_place.tree / "disk1").read_text() == "newer data"
    assert len(held_place.held()) == 1


def test_post_of_another_session_lets_go_of_nothing(held_place):
    assert held_place.run("post", "nightly", "--session", "other").silent
    assert held_place.tree.exists()


def test_pre_of_another_session_is_told_who_holds_the_job(held_place):
    result = held_place.run("pre", "nightly", "--session", "other")
    assert failed_as_a_hook_should(result, 69)
    assert "is held for the session 'default'" in result.err
    assert held_place.tree.exists()


@pytest.mark.parametrize(
    ("session", "said"), [("default", ""), ("7", " --session 7"), ("a b", " --session 'a b'")]
)
def test_whoever_looks_is_told_how_to_let_go_of_a_session(place, session, said):
    assert place.run("pre", "nightly", "--session", session).silent
    assert f"«holdstill post nightly{said}» lets go" in place.run("held").out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "Nothing is held."),
        (("nighlty",), "Nothing of the job 'nighlty' is held."),
        (("nightly", "--session", "7"), "Nothing of the job 'nightly' is held for the session '7'."),
    ],
)
def test_that_nothing_is_held_is_told_of_what_was_asked_for(place, arguments, said):
    assert place.run("held", *arguments).out == f"{said}\n"


def test_the_session_can_come_from_the_environment(place):
    more = {"env": os.environ | place.environment | {"HOLDSTILL_SESSION": "job-7"}}
    assert place.run("pre", "nightly", **more).silent
    assert [held["session"] for held in place.held()] == ["job-7"]
    assert place.run("post", "nightly", **more).silent
    assert place.left() == []


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("none", ""),
        ("path", "{trees}/nightly\n"),
        ("paths", "{trees}/nightly/web\n"),
        ("env", "HOLDSTILL_PATH={trees}/nightly\nHOLDSTILL_PATHS={trees}/nightly/web\n"),
        ("amanda", "PROPERTY target {trees}/nightly\n"),
        ("kopia", "KOPIA_SNAPSHOT_PATH={trees}/nightly\n"),
    ],
)
def test_pre_prints_where_the_files_are_as_its_caller_reads_it(place, form, expected):
    result = place.run("pre", "nightly", "--print", form)
    assert (result.code, result.err) == (0, "")
    assert result.out == expected.format(trees=place.trees)


def test_pre_that_fails_prints_no_path(place):
    place.disk.unlink()
    assert failed_as_a_hook_should(place.run("pre", "nightly", "--print", "path"), 66)


# Failure is one line and an exit code that nobody misreads


def test_pre_that_fails_leaves_nothing_and_says_why_in_a_line(place):
    place.write(open_="{stranger: {then: 'ls /no/such/path'}}")
    result = place.run("pre", "nightly")
    assert failed_as_a_hook_should(result, 71)
    assert "guest web, open: stranger: «ls /no/such/path» failed with status 2" in result.err
    assert place.left() == []


def _open_to_others(place):
    place.trees.mkdir()
    place.trees.chmod(0o777)


@pytest.mark.parametrize(
    ("breaks", "code"),
    [
        pytest.param(lambda place: place.disk.unlink(), 66, id="no disk"),
        pytest.param(lambda place: place.config.unlink(), 78, id="no configuration"),
        pytest.param(lambda place: place.config.write_text("jobs: ["), 78, id="no YAML"),
        pytest.param(lambda place: place.config.chmod(0o666), 78, id="others may write the configuration"),
        pytest.param(_open_to_others, 77, id="others may write the trees"),
        pytest.param(lambda place: place.write(open_="nobodys"), 78, id="no such plugin"),
        pytest.param(lambda place: place.write(open_="{stranger: {then: nobodys}}"), 69, id="no such tool"),
        pytest.param(
            lambda place: place.write(open_="{stranger: {then: 'false'}}"), 71, id="a command that fails"
        ),
        pytest.param(lambda place: place.plugin("stranger", "1 / 0"), 78, id="a plugin that does not load"),
    ],
)
def test_however_pre_fails_nobody_misreads_its_code_and_there_is_nothing_to_back_up(place, breaks, code):
    """For callers that go on all the same: what is not there, they cannot read live."""
    breaks(place)
    result = place.run("pre", "nightly", "--print", "paths")
    assert failed_as_a_hook_should(result, code)
    assert result.code in range(64, 79)
    assert not (place.trees / "nightly").exists()


def test_a_failure_of_many_words_is_still_one_short_line(place):
    place.write(open_=", ".join(["no-such-plügin-ä"] * 200))
    assert failed_as_a_hook_should(place.run("pre", "nightly"), 78)


def test_a_failure_to_make_the_snapshot_is_73(place):
    place.write(disks=str(place.disk))
    place.disk.unlink()
    place.disk.symlink_to("/proc/kmsg" if os.geteuid() else "/proc/self/mem")
    assert failed_as_a_hook_should(place.run("pre", "nightly"), 73)
    assert place.left() == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("pre",),
        ("frobnicate",),
        ("pre", "nightly", "more"),
        ("pre", "nightly", "--no-such-option"),
        ("--no-such-option", "pre", "nightly"),
        ("pre", "nightly", "--log", "paper"),
        ("run",),
        ("held", "nightly", "more"),
    ],
)
def test_a_wrong_command_line_is_64(place, arguments):
    result = place.run(*arguments)
    assert (result.code, result.out) == (64, "")
    assert result.err


@pytest.mark.parametrize("arguments", ["frobnicate", "recvoer", "pre nightly more", "held --wait=x", "run"])
def test_a_wrong_command_line_is_told_in_whole_sentences(place, arguments):
    assert re.search(r"[.?] Try «holdstill( \w+)? --help»\.\n$", place.run(*arguments.split()).err)


def test_a_misspelt_command_names_the_nearest(place):
    assert "did you mean 'recover'" in place.run("recvoer").err


@pytest.mark.parametrize(
    "breaks", ["raise ValueError('odd')", "1 / 0", "import sys; sys.exit(3)", "raise KeyboardInterrupt"]
)
@pytest.mark.parametrize(
    "hook", ["holdstill_prepare(run)", "holdstill_expose(run)", "holdstill_check(steps)"]
)
def test_a_plugin_that_breaks_is_a_bug_of_one_line_and_nothing_is_held(place, hook, breaks):
    place.plugin("odd", f"from holdstill.plugin import hookimpl\n@hookimpl\ndef {hook}:\n    {breaks}\n")
    place.write(open_="stranger")
    if "check" in hook:
        place.plugin("odd", ODD_STEP.format(breaks=breaks))
        place.write(open_="stranger, odd")
    result = place.run("pre", "nightly")
    assert failed_as_a_hook_should(result, 70)
    assert "A defect in" in result.err
    assert place.left() == []


ODD_STEP = """
from holdstill.plugin import hookimpl

@hookimpl
def holdstill_check(steps):
    {breaks}

@hookimpl
def holdstill_open(sources):
    return sources
"""


@pytest.mark.parametrize(
    "command", [("schema",), ("check",), ("plan", "nightly"), ("run", "nightly"), ("pre", "nightly")]
)
def test_a_traceback_never_reaches_standard_output(place, command):
    place.plugin("odd", ODD_OPTIONS)
    place.write(open_="stranger, odd")
    result = place.run(*command)
    assert (result.code in {70, 78}, result.out) == (True, "")
    assert (
        command[0] in {"check", "plan"} or "Traceback" not in result.err
    )  # those two log to whoever called them


ODD_OPTIONS = """
import re
import msgspec
from holdstill.plugin import hookimpl

class Options(msgspec.Struct):
    pattern: re.Pattern = None
    broken: "NoSuchName" = None

@hookimpl
def holdstill_options():
    return Options

@hookimpl
def holdstill_open(sources):
    return sources
"""


def test_a_plugin_that_cannot_be_loaded_harms_only_the_jobs_that_need_it(place):
    place.plugin("broken", "import no_such_module")
    place.plugin(
        "wrong", "from holdstill.plugin import hookimpl\n@hookimpl\ndef holdstill_undo(fcats):\n    pass\n"
    )
    assert place.run("pre", "nightly").silent
    assert place.run("post", "nightly").silent
    place.write(open_="stranger, broken")
    result = place.run("pre", "nightly")
    assert failed_as_a_hook_should(result, 78)
    assert "ModuleNotFoundError: No module named 'no_such_module'" in result.err


# Post does not ruin a good backup


def test_what_post_cannot_let_go_of_does_not_fail_it_but_is_told_by_held(place):
    stuck = place.root / "stuck"
    stuck.touch()
    place.write(open_=f"{{stranger: {{stuck_while: {stuck}}}}}", job="release-within: 0")
    assert place.run("pre", "nightly").silent
    assert place.run("post", "nightly").silent
    assert [held["state"] for held in place.held()] == ["abandoned"]
    assert place.run("held").code == 81
    strict = place.run("post", "nightly", "--strict")
    assert failed_as_a_hook_should(strict, 81)
    stuck.unlink()
    assert place.run("recover").silent
    assert place.left() == []


def test_a_hold_that_did_not_last_to_the_end_fails_post(place):
    place.write(open_="stranger")
    place.config.write_text(
        place.config.read_text().replace("snapshot: stranger", "snapshot: {stranger: {overflow: true}}")
    )
    assert place.run("pre", "nightly").silent
    result = place.run("post", "nightly")
    assert result.code == 79
    assert "did not hold to the end" in result.err
    assert place.left() == []


def test_a_plugin_that_breaks_in_release_does_not_fail_post(place):
    place.plugin(
        "odd",
        "from holdstill.plugin import hookimpl\n@hookimpl\ndef holdstill_release(run):\n    raise ValueError\n",
    )
    assert place.run("pre", "nightly").silent
    assert place.run("post", "nightly").silent
    assert place.left() == []


@pytest.mark.parametrize("said", ["ok", "failed", "unknown"])
def test_what_the_caller_says_of_its_backup_is_in_the_outcome_and_fails_nothing(held_place, said):
    result = held_place.run("post", "nightly", "--strict", "--outcome", said, "--json")
    assert (result.code, result.err) == (0, "")
    assert [outcome["caller_verdict"] for outcome in result.json] == [said]
    assert held_place.left() == []


def test_a_backup_that_is_neither_ok_nor_failed_is_a_wrong_call(held_place):
    assert held_place.run("post", "nightly", "--outcome", "fine").code == 64
    assert held_place.tree.exists()


def test_a_pre_that_is_still_at_work_lets_go_when_its_post_has_come(place, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    pre = place.start("pre", "nightly")
    place.eventually(gate.reached.exists)
    post = place.start("post", "nightly")
    place.eventually(lambda: list(place.state.glob("journals/*.unwanted")))
    gate.opened.touch()
    result = place.wait(pre)
    assert failed_as_a_hook_should(result, 69)
    assert "«holdstill post nightly» was called before this «pre» was done" in result.err
    assert place.wait(post).silent
    assert place.left() == []


# The caller's environment


def test_an_empty_environment_will_do(place):
    options = [f"--{name}={getattr(place, name)}" for name in ("config", "state", "trees", "plugins")]
    assert place.run(*options, "pre", "nightly", env={}).silent
    assert place.run(*options, "post", "nightly", env={}).silent
    assert place.left() == []


def test_the_configuration_is_read_as_utf8_whatever_the_callers_locale(place):
    place.config.write_text("# für alle Gäste\n" + place.config.read_text())
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert place.run("pre", "nightly", env=os.environ | place.environment | ascii_only).silent


@pytest.mark.parametrize("umask", ["077", "027", "0", "777"])
def test_the_trees_folder_can_be_entered_whatever_the_callers_umask(place, umask):
    argv = ["sh", "-c", f'umask {umask}; exec "$@"', "sh", *place.command, "pre", "nightly"]
    assert place.shell(argv).silent
    assert [path.stat().st_mode & 0o777 for path in (place.trees, place.trees / "nightly", place.tree)] == [
        0o755
    ] * 3
    assert (place.state / "journals").stat().st_mode & 0o777 == 0o700


def test_a_working_directory_that_is_gone_will_do(place):
    gone = place.root / "gone"
    argv = [
        "sh",
        "-c",
        f'mkdir {gone}; cd {gone}; rmdir {gone}; exec "$@"',
        "sh",
        *place.command,
        "pre",
        "nightly",
    ]
    assert place.shell(argv).silent


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing(place, closing):
    for arguments in (["pre", "nightly", "--json"], ["post", "nightly", "--json"]):
        argv = ["sh", "-c", f'"$@" {closing}', "sh", *place.command, *arguments]
        assert place.shell(argv).code == 0
    assert place.left() == []
    assert {path.suffix for path in place.state.rglob("*") if path.is_file()} == {".lock"}


def test_what_a_plugin_prints_on_closed_streams_goes_into_none_of_our_files(place):
    place.plugin("loud", LOUD)
    argv = ["sh", "-c", '"$@" <&- >&- 2>&-', "sh", *place.command, "pre", "nightly"]
    assert place.shell(argv).code == 0
    written = [path.read_text() for path in place.state.rglob("*") if path.is_file()]
    assert written
    assert not any("loud" in text for text in written)
    assert place.run("post", "nightly").silent
    assert place.left() == []


LOUD = """
import os
from holdstill.plugin import hookimpl

@hookimpl(wrapper=True)
def holdstill_open():
    for descriptor in (0, 1, 2):
        os.write(descriptor, b"loud")
    return (yield)
"""


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_do_not_change_how_a_failure_ends(place, closing):
    place.disk.unlink()
    argv = ["sh", "-c", f'"$@" {closing}', "sh", *place.command, "pre", "nightly", "--log", "both"]
    result = place.shell(argv)
    assert (result.code, result.out) == (66, "")


@pytest.mark.parametrize(
    "arguments", [("pre", "nightly", "--json"), ("held",), ("held", "--json"), ("plugins",), ("schema",)]
)
@pytest.mark.parametrize("sink", ["a reader that is gone", "/dev/full"])
def test_output_that_nobody_takes_does_not_change_the_exit_code(place, arguments, sink):
    if sink == "/dev/full":
        with Path(sink).open("w") as full:
            process = place.start(*arguments, stdout=full)
    else:
        reader, writer = os.pipe()
        os.close(reader)
        process = place.start(*arguments, stdout=writer)
        os.close(writer)
    _, err = process.communicate()
    assert (process.returncode, err) == (0, "")


def test_an_error_that_nobody_reads_does_not_change_the_exit_code(place):
    place.disk.unlink()
    reader, writer = os.pipe()
    os.close(reader)
    process = place.start("pre", "nightly", stderr=writer)
    os.close(writer)
    assert (process.communicate()[0], process.returncode) == ("", 66)


def test_a_callers_pipe_ends_when_pre_ends(place):
    place.write(open_="{stranger: {then: 'sh -c \"sleep 600 & echo $! > " + str(place.root / "pid") + "\"'}}")
    result = place.run("pre", "nightly")  # reads both pipes to their end
    os.kill(int((place.root / "pid").read_text()), signal.SIGKILL)
    assert result.silent


def test_a_lock_that_the_caller_left_open_is_free_when_pre_has_ended(place):
    place.write(open_="{stranger: {then: 'sh -c \"sleep 600 & echo $! > " + str(place.root / "pid") + "\"'}}")
    lock = os.open(place.root / "callers.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    result = place.run("pre", "nightly", pass_fds=[lock])
    os.close(lock)
    again = os.open(place.root / "callers.lock", os.O_RDWR)
    fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(again)
    os.kill(int((place.root / "pid").read_text()), signal.SIGKILL)
    assert result.silent


# Signals


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM, signal.SIGXCPU],
)
def test_a_signal_in_the_middle_of_pre_leaves_nothing(place, gate, number):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    process = place.start("pre", "nightly")
    place.eventually(gate.reached.exists)
    assert place.tree.exists()
    process.send_signal(number)
    result = place.wait(process)
    assert failed_as_a_hook_should(result, 128 + number)
    assert place.left() == []


def test_a_hangup_that_our_caller_ignores_still_stops_us(place, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    argv = ("-c", 'trap "" HUP PIPE; exec "$@"', "sh", *place.command, "pre", "nightly")
    place.command = ("sh",)
    process = place.start(*argv)
    place.eventually(gate.reached.exists)
    process.send_signal(signal.SIGHUP)
    assert place.wait(process).code == 129
    assert place.left() == []


def _ignore_the_end_of_children():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)


def test_a_command_that_fails_has_failed_also_if_our_caller_ignores_the_end_of_its_children(place):
    place.write(open_="{stranger: {then: sh -c 'exit 3'}}")
    result = place.run("pre", "nightly", preexec_fn=_ignore_the_end_of_children)
    assert failed_as_a_hook_should(result, 71)
    assert "failed with status 3" in result.err
    assert place.left() == []


def test_signals_do_not_stop_what_lets_go(place, gate):
    place.plugin("slow", SLOW_RELEASE.format(gate=gate.script))
    assert place.run("pre", "nightly").silent
    process = place.start("post", "nightly")
    place.eventually(gate.reached.exists)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        process.send_signal(number)
    gate.opened.touch()
    assert place.wait(process).silent
    assert place.left() == []


SLOW_RELEASE = """
from holdstill.plugin import hookimpl

@hookimpl
def holdstill_release(run):
    run.host.run("{gate}")
"""


def test_nobody_suspends_what_may_keep_a_guest_quiet(place, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    process = place.start("pre", "nightly", process_group=0)  # of its own, as a shell would have it
    place.eventually(gate.reached.exists)
    process.send_signal(signal.SIGTSTP)
    gate.opened.touch()
    assert place.wait(process).silent
    assert place.run("post", "nightly").silent


def test_a_signal_to_the_whole_group_leaves_nothing(place, gate):
    place.write(open_=f"{{stranger: {{then: {gate.script}}}}}")
    process = place.start("pre", "nightly", start_new_session=True)
    place.eventually(gate.reached.exists)
    os.killpg(process.pid, signal.SIGTERM)
    assert place.wait(process).code == 143
    assert place.left() == []


# Help and version


def test_the_version_is_told_in_a_line(place):
    assert place.run("--version").out.split()[0] == "holdstill"
    assert place.shell([sys.executable, "-m", "holdstill", "--version"]).out == place.run("--version").out


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "pre",
        "post",
        "hook",
        "caller",
        "paths",
        "held",
        "recover",
        "check",
        "plan",
        "plugins",
        "schema",
    ],
)
def test_every_command_explains_itself(place, command):
    result = place.run(command, "--help")
    assert (result.code, result.err) == (0, "")
    assert f"holdstill {command}" in result.out
    assert f"  {command} " in place.run("--help").out


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_that_nobody_reads_is_no_skip_and_no_go_on(place, argument):
    reader, writer = os.pipe()
    os.close(reader)
    process = place.start(argument, stdout=writer)
    os.close(writer)
    process.communicate()
    assert process.returncode not in FORBIDDEN


@pytest.mark.parametrize("command", ["run", "pre", "post", "recover", "check", "plan"])
def test_no_command_imports_what_shows_progress_to_a_person_before_there_is_one(place, command):
    """Rich, which structlog would import: it takes as long as all the rest of a start."""
    told = place.shell([sys.executable, "-X", "importtime", "-m", "holdstill", command, "--help"]).err
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "structlog" in imported
    assert not any(name.startswith("rich.") for name in imported)
