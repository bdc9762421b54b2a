"""The host layer on real commands: each ends, by itself or by its deadline, and nothing of ours reaches it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from holdstill.errors import BackupError, RunInterrupted, UnavailableError
from holdstill.host import command, companion, orphans
from holdstill.host.command import ENVIRONMENT
from holdstill.host.failures import CommandFailedError, CommandStuckError, NotLetGoError
from holdstill.host.interruption import STOPPING, Interruption
from holdstill.host.real import RealHost
from holdstill.host.tools import PACKAGES

LIMIT = 90.0
"Seconds after which a condition that we wait for will not come."


@pytest.fixture
def host():
    return RealHost()


@pytest.fixture
def impatient(monkeypatch):
    """Let commands that do not end have little time."""
    monkeypatch.setattr(command, "GRACE", 1.0)
    monkeypatch.setattr(command, "PATIENCE", 1.0)


@pytest.fixture
def interruption():
    """Listen to signals as a run does, for the length of a test."""
    before = {number: signal.getsignal(number) for number in STOPPING}
    made = Interruption()
    made.listen()
    yield made
    for number, handler in before.items():
        signal.signal(number, handler)


def runs(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def eventually(condition):
    """Wait for a condition, with a limit."""
    ends = time.monotonic() + LIMIT
    while not (met := condition()) and time.monotonic() < ends:
        time.sleep(0.01)
    return met


def end(pid):
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


# Answers


def test_a_command_answers_with_what_it_printed_and_its_status(host):
    answer = host.run("sh", "-c", "echo out; echo err >&2; exit 3", ok=(3,))
    assert (answer.status, answer.out, answer.err) == (3, "out\n", "err\n")


def test_a_command_is_no_shells_business(host):
    assert host.ask("printf", "%s|", "$HOME", "a b", "*", "'").out == "$HOME|a b|*|'|"


def test_output_larger_than_any_pipe_is_kept_whole(host):
    assert host.ask("seq", "200000").out == "".join(f"{number}\n" for number in range(1, 200001))


def test_output_that_is_no_text_is_still_answered(host):
    assert host.ask("printf", r"a\377b").out == "a�b"


def test_a_failure_says_what_was_run_its_status_and_what_it_complained_of(host):
    with pytest.raises(CommandFailedError) as caught:
        host.run("sh", "-c", r"printf 'no such \033[2Jvolume\n' >&2; exit 5")
    assert str(caught.value).startswith("«sh -c 'printf ")
    assert str(caught.value).endswith(r"failed with status 5: no such \x1b[2Jvolume")
    assert (caught.value.code, caught.value.answer.status) == (71, 5)


def test_only_the_end_of_a_long_complaint_is_told(host):
    with pytest.raises(CommandFailedError) as caught:
        host.run("sh", "-c", "seq 10000 >&2; echo last >&2; exit 1")
    assert str(caught.value).endswith("10000; last")
    assert len(str(caught.value)) < 1000


def test_a_command_that_a_signal_ended_says_so(host):
    with pytest.raises(CommandFailedError, match="was ended by signal 9"):
        host.run("sh", "-c", "kill -KILL $$")


@pytest.mark.parametrize("tool", sorted(PACKAGES))
def test_a_missing_tool_is_named_with_its_debian_package(host, monkeypatch, tmp_path, tool):
    monkeypatch.setitem(ENVIRONMENT, "PATH", str(tmp_path))
    with pytest.raises(UnavailableError) as caught:
        host.run(tool)
    package = PACKAGES[tool]
    assert (
        str(caught.value)
        == f"«{tool}» is not installed: install the package {package} («apt-get install {package}»)."
    )
    assert caught.value.code == 69
    assert not host.installed(tool)


def test_a_missing_command_of_no_known_package_is_named_too(host):
    with pytest.raises(
        UnavailableError, match=r"^«no-such-command» is not installed: it is in none of /usr/local/sbin:.*\.$"
    ):
        host.run("no-such-command")


def test_what_cannot_be_run_is_a_sentence(host, tmp_path):
    (tmp_path / "data").touch()
    with pytest.raises(UnavailableError, match="cannot be started: Permission denied"):
        host.run(str(tmp_path / "data"))


# What reaches a command


def test_a_command_gets_a_fixed_environment_and_nothing_of_ours(host, monkeypatch):
    for name in ("LD_LIBRARY_PATH", "PYTHONPATH", "IFS", "LVM_SYSTEM_DIR", "LANG", "SECRET"):
        monkeypatch.setenv(name, "/from/our/caller")
    assert set(host.ask("env").out.splitlines()) == {f"{name}={value}" for name, value in ENVIRONMENT.items()}
    assert {"LC_ALL=C.UTF-8", "LVM_SUPPRESS_FD_WARNINGS=1"} <= set(host.ask("env").out.splitlines())


def test_a_command_gets_what_its_step_adds(host):
    assert "HOLDSTILL_JOB=nightly" in host.run("env", env={"HOLDSTILL_JOB": "nightly"}).out.splitlines()


def test_a_command_knows_for_which_run_it_was_started(host):
    host.started_for("r1")
    assert "HOLDSTILL_STARTED_FOR=r1" in host.ask("env").out.splitlines()


def test_a_command_inherits_no_descriptor(host, tmp_path):
    descriptor = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    os.set_inheritable(descriptor, True)
    listed = host.ask("sh", "-c", "ls /proc/$$/fd").out.split()
    os.close(descriptor)
    assert listed == ["0", "1", "2"]


def test_a_command_reads_nothing_and_is_in_no_folder_of_ours(host, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert host.ask("sh", "-c", "cat; pwd; umask").out.split() == ["/", "0022"]


def test_a_command_is_in_a_process_group_of_its_own(host):
    pid, group = host.ask("sh", "-c", "echo $$; ps -o pgid= -p $$ || cut -d' ' -f5 /proc/$$/stat").out.split()
    assert pid == group


def test_a_command_gets_default_signals(host):
    ignored = host.ask("sh", "-c", "grep SigIgn /proc/$$/status").out.split()[1]
    assert int(ignored, 16) & (1 << (signal.SIGPIPE - 1)) == 0


# Ends


def test_a_daemon_that_a_command_leaves_behind_does_not_make_us_wait(host):
    pid = int(host.run("sh", "-c", "sleep 600 & echo $!").out)
    there = runs(pid)
    end(pid)
    assert there


def test_a_command_past_its_deadline_is_ended_and_says_so(host):
    with pytest.raises(CommandFailedError, match=r"«sleep 600» did not end within 0.1 s and was ended"):
        host.run("sleep", "600", deadline=0.1)


@pytest.mark.usefixtures("impatient")
def test_a_command_that_does_not_listen_to_term_is_killed(host):
    with pytest.raises(CommandFailedError) as caught:
        host.run("sh", "-c", "trap '' TERM; while :; do sleep 0.05; done", deadline=2)
    assert caught.value.answer.status == -signal.SIGKILL


def test_what_a_command_had_said_by_its_deadline_is_told(host):
    with pytest.raises(CommandFailedError, match="was ended: waiting for the lock"):
        host.run("sh", "-c", "echo waiting for the lock >&2; sleep 600", deadline=2)


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "], ids=["listening", "deaf"])
@pytest.mark.usefixtures("impatient")
def test_a_deadline_ends_the_commands_children_too(host, tmp_path, trap):
    child = f"({trap}echo $$ > /dev/null; exec sleep 600) & echo $! > {tmp_path}/pid; wait"
    with pytest.raises(CommandFailedError):
        host.run("sh", "-c", child, deadline=2)
    assert eventually(lambda: not runs(int((tmp_path / "pid").read_text())))


def test_a_deadline_of_weeks_is_a_deadline(host):
    assert host.run("echo", "done", deadline=90 * 86400).out == "done\n"


def test_a_command_whose_watcher_fails_is_not_left_running(host, tmp_path):
    def watch(_text):
        raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        host.run("sh", "-c", f"echo $$ > {tmp_path}/pid; echo . >&2; exec sleep 600", watch=watch)
    assert eventually(lambda: not runs(int((tmp_path / "pid").read_text())))


def test_a_watcher_hears_what_is_said_in_order_and_as_it_comes(host):
    heard = []
    host.run("sh", "-c", "echo one >&2; sleep 0.6; echo two >&2; echo out", watch=heard.append)
    assert "".join(heard).startswith("one\n")
    assert set("".join(heard).split()) <= {"one", "two"}


@pytest.fixture
def deaf_lvs(monkeypatch, tmp_path):
    """An lvs that does not end before the file ``stop`` is there, whatever signal asks it to."""
    (tmp_path / "lvs").write_text(
        f"#!/bin/sh\ntrap 'echo $1 >> {tmp_path}/signals' TERM\necho $$ > {tmp_path}/pid\n"
        f"until test -e {tmp_path}/stop; do sleep 0.02; done\n"
    )
    (tmp_path / "lvs").chmod(0o755)
    monkeypatch.setitem(ENVIRONMENT, "PATH", f"{tmp_path}:{ENVIRONMENT['PATH']}")
    yield tmp_path
    (tmp_path / "stop").touch()
    assert eventually(lambda: not runs(int((tmp_path / "pid").read_text())))


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # it is left to itself on purpose
@pytest.mark.usefixtures("impatient")
def test_a_command_that_could_leave_a_disk_suspended_is_never_killed(host, deaf_lvs):
    with pytest.raises(
        CommandStuckError, match=r"«lvs» \(pid \d+\) did not end within 2 s and was left to itself"
    ):
        host.run("lvs", deadline=2)
    assert eventually((deaf_lvs / "signals").exists)
    assert runs(int((deaf_lvs / "pid").read_text()))


def test_a_command_that_could_leave_a_disk_suspended_is_not_ended_by_a_signal_to_us(
    deaf_lvs, interruption, mocker
):
    def stop_it(descriptors, _seconds):
        if (deaf_lvs / "pid").exists() and not (deaf_lvs / "stop").exists():
            os.kill(os.getpid(), signal.SIGTERM)
            (deaf_lvs / "stop").touch()
        return wait(descriptors, 0.02)

    wait = command.readable
    mocker.patch.object(command, "readable", stop_it)
    assert RealHost(interruption).ask("lvs").status == 0
    assert not (deaf_lvs / "signals").exists()
    with pytest.raises(RunInterrupted):
        RealHost(interruption).ask("true")


# Interruption


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_ends_the_command_that_runs(interruption, number):
    with pytest.raises(RunInterrupted) as caught:
        RealHost(interruption).run("sh", "-c", f"kill -{number} $PPID; exec sleep 600")
    assert caught.value.signal_number == number


def test_no_signal_that_ends_a_process_by_default_ends_us_but_those_of_a_crash():
    not_to_be_caught, of_a_crash = {"KILL", "STOP"}, {"ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "SYS"}
    ignored, ignored_by_python = {"CHLD", "CONT", "URG", "WINCH"}, {"PIPE", "XFSZ"}
    suspend = {"TSTP", "TTIN", "TTOU"}
    spared = not_to_be_caught | of_a_crash | ignored | ignored_by_python | suspend
    assert signal.valid_signals() - set(STOPPING) == {getattr(signal, f"SIG{name}") for name in spared}


def test_a_signal_stops_the_run_before_its_next_command(interruption, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "GENTLE", {"touch"})  # so that, if it is started, it ends well
    host = RealHost(interruption)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(RunInterrupted):
        host.run("touch", str(tmp_path / "done"))
    assert not (tmp_path / "done").exists()


def test_a_signal_is_noted_and_strikes_no_line_of_ours(interruption):
    os.kill(os.getpid(), signal.SIGTERM)
    assert interruption.pending == signal.SIGTERM


def test_the_first_signal_is_the_one_that_counts(interruption):
    for number in (signal.SIGHUP, signal.SIGTERM):
        os.kill(os.getpid(), number)
    assert interruption.pending == signal.SIGHUP


def test_what_lets_go_is_shielded_from_signals(interruption):
    host = RealHost(interruption)
    with interruption.shield():
        assert host.run("sh", "-c", "kill -TERM $PPID; echo let go").out == "let go\n"
        assert host.run("echo", "this too").out == "this too\n"
    with pytest.raises(RunInterrupted):
        host.run("true")


def test_a_shield_inside_a_shield_ends_with_the_outer_one(interruption):
    os.kill(os.getpid(), signal.SIGTERM)
    with interruption.shield():
        with interruption.shield():
            pass
        interruption.check()
    with pytest.raises(RunInterrupted):
        interruption.check()


def test_signals_that_our_caller_blocked_or_ignored_are_heard(interruption):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    interruption.listen()
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & set(STOPPING)
    os.kill(os.getpid(), signal.SIGHUP)
    assert interruption.pending == signal.SIGHUP


# What outlives its run


@pytest.fixture
def leave_behind(host, tmp_path):
    """Leave a process behind for this run's id, by a shell's line that writes its pid to ``{0}``; it ends with us.

    Any process of this session that is in the middle of execve(2) is taken for one of the run's: look again.
    """
    written = tmp_path / "pid"

    def started(run, *argv):
        host.started_for(run)
        host.run(*(word.format(written) for word in argv))
        assert eventually(lambda: written.exists() and written.read_text().strip())
        return int(written.read_text())

    yield started
    if written.exists():
        end(int(written.read_text()))


def test_a_command_that_outlived_its_run_is_found_by_the_runs_id(host, leave_behind):
    run, session = f"r-{os.getpid()}", os.getsid(0)
    pid = leave_behind(run, "sh", "-c", "sleep 600 & echo $! > {0}")
    assert eventually(lambda: host.still_running(run, session) == [pid])
    assert eventually(lambda: host.still_running("r-of-another", session) == [])
    end(pid)
    assert eventually(lambda: host.still_running(run, session) == [])


@pytest.mark.skipif(not shutil.which("setsid"), reason="needs setsid(1)")
@pytest.mark.parametrize("forks", ["echo $$ > {0}; exec sleep 600", "sleep 600 & echo $! > {0}"])
def test_a_daemon_that_a_command_left_behind_is_no_command(host, leave_behind, forks):
    run = f"r-{os.getpid()}-with-daemon"
    leave_behind(run, "setsid", "--fork", "sh", "-c", forks)
    assert eventually(lambda: host.still_running(run, os.getsid(0)) == [])


def test_a_process_in_the_middle_of_execve_is_taken_for_one_of_the_runs(host, leave_behind, monkeypatch):
    """It has no environment yet: a recovery that looked just then would undo what it is about to do."""
    run = f"r-{os.getpid()}-in-execve"
    pid = leave_behind("another", "sh", "-c", "sleep 600 & echo $! > {0}")
    monkeypatch.setattr(orphans, "_words", lambda found, _file: [b""] if found == pid else [b"A=1"])
    assert host.still_running(run, os.getsid(0)) == [pid]


def test_a_process_that_has_ended_is_none_whatever_the_bytes_of_its_name(host, monkeypatch):
    """Older kernels show it as one in execve(2), and each cuts a name to 15 bytes, in the middle of a character."""
    renames_itself = "import ctypes; ctypes.CDLL(None).prctl(15, b'caf\\xc3')"
    ended = subprocess.Popen([sys.executable, "-c", renames_itself])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    monkeypatch.setattr(orphans, "_words", lambda found, _file: [b""] if found == ended.pid else [b"A=1"])
    assert host.still_running("r", os.getsid(0)) == []
    ended.wait()


def test_a_process_of_the_callers_without_an_environment_is_none_of_ours(host, leave_behind):
    leave_behind("another", "sh", "-c", "env -i sleep 600 & echo $! > {0}")
    assert eventually(lambda: host.still_running(f"r-{os.getpid()}-with-a-bare-one", os.getsid(0)) == [])


# Companions


def test_a_companion_may_take_longer_than_poll_can_wait(host, monkeypatch):
    monkeypatch.setattr(command, "LONGEST_POLL", 0.01)
    with host.companion("sh", "-c", "sleep 0.2; echo ready; cat", limit=90) as slow:
        assert slow.first == "ready"


def test_a_companion_tells_that_it_is_ready_and_ends_when_it_is_left(host, tmp_path):
    script = f"echo ready; read -r _; echo ended > {tmp_path}/end"
    with host.companion("sh", "-c", script):
        assert not (tmp_path / "end").exists()
    assert (tmp_path / "end").read_text() == "ended\n"


def test_a_companion_hears_what_it_is_told(host, tmp_path):
    with host.companion(
        "sh", "-c", f"echo ready; read -r line; echo $line > {tmp_path}/told; cat"
    ) as beside_us:
        beside_us.tell("now")
        assert eventually(lambda: (tmp_path / "told").exists() and (tmp_path / "told").read_text() == "now\n")


def test_telling_one_that_has_ended_is_an_error(host):
    def tell_until_it_is_noticed(beside_us):
        while True:
            beside_us.tell("now")

    with (
        pytest.raises(CommandFailedError, match="ended before it was asked to"),
        host.companion("echo", "ready") as beside_us,
    ):
        tell_until_it_is_noticed(beside_us)


def test_a_companion_lets_go_when_we_are_killed(tmp_path):
    script = f"echo ready; read -r _; echo ended > {tmp_path}/end"
    if (child := os.fork()) == 0:
        with RealHost().companion("sh", "-c", script):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert eventually((tmp_path / "end").exists)


def test_a_companion_that_says_nothing_is_not_waited_for_longer_than_its_limit(host):
    with (
        pytest.raises(CommandFailedError, match=r"said nothing within 0.2 s"),
        host.companion("cat", limit=0.2),
    ):
        pytest.fail("it was not ready")


def test_what_a_companion_complains_of_is_in_the_error(host):
    with (
        pytest.raises(CommandFailedError, match="ended before it was asked to: no such database"),
        host.companion("sh", "-c", "echo no such database >&2; exit 3"),
    ):
        pytest.fail("it was not ready")


def test_a_companion_is_told_and_answers_line_by_line(host):
    script = 'while read -r line; do echo "$GREETING $line"; done'
    with host.companion("sh", "-c", script, told=["a"], env={"GREETING": "hello"}) as beside_us:
        assert beside_us.first == "hello a"
        beside_us.tell("b\nc")
        assert (beside_us.hear(LIMIT), beside_us.hear(LIMIT)) == ("hello b", "hello c")
        with pytest.raises(CommandFailedError, match=r"said nothing within 0.1 s"):
            beside_us.hear(0.1)


def test_a_companion_lets_go_by_itself_after_its_time(host, tmp_path):
    script = f"echo ready; cat; echo ended > {tmp_path}/end"
    with (
        pytest.raises(CommandFailedError, match=r"let go by itself after 0.1 s"),
        host.companion("sh", "-c", script, at_most=0.1),
    ):
        assert eventually((tmp_path / "end").exists), "though we have not left it"


def test_one_that_has_let_go_hears_no_more(host):
    def tell_when_it_has(beside_us):
        beside_us.hear(LIMIT)
        beside_us.tell("are you there")

    with (
        pytest.raises(CommandFailedError, match=r"let go by itself after 0.1 s"),
        host.companion("sh", "-c", "echo ready; cat; echo done", at_most=0.1) as beside_us,
    ):
        tell_when_it_has(beside_us)


def test_a_stop_ends_the_wait_for_a_companion(interruption, tmp_path):
    os.kill(os.getpid(), signal.SIGTERM)
    with interruption.shield():
        host = RealHost(interruption)
        waits = host.companion("sh", "-c", f"cat; echo ended > {tmp_path}/end")
    with pytest.raises(RunInterrupted):
        waits.__enter__()


def test_a_companion_that_is_killed_with_us_before_it_is_ready_still_lets_go(tmp_path):
    script = "touch held; until test -e go; do sleep 0.01; done; echo ready; cat; rm held"
    if (child := os.fork()) == 0:
        with RealHost().companion("sh", "-c", f"cd {tmp_path}; {script}"):
            os._exit(1)
    assert eventually((tmp_path / "held").exists)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    (tmp_path / "go").touch()
    assert eventually(lambda: not (tmp_path / "held").exists())


def test_a_companion_that_ended_too_early_is_an_error(host):
    with (
        pytest.raises(CommandFailedError, match="ended before it was asked to"),
        host.companion("echo", "ready") as beside_us,
    ):
        assert eventually(lambda: not beside_us.runs)


def test_a_companion_that_does_not_end_is_killed_and_has_not_let_go(host, monkeypatch, tmp_path):
    monkeypatch.setattr(companion, "GRACE", 0.3)
    hangs = host.companion("sh", "-c", f"echo $$ > {tmp_path}/pid; echo ready; exec sleep 600")
    with pytest.raises(NotLetGoError, match=r"did not end within 0.3 s, and was killed"), hangs:
        pid = int((tmp_path / "pid").read_text())
    assert not runs(pid)


def test_a_companion_that_fails_when_it_is_to_let_go_is_an_error(host):
    fails = host.companion("sh", "-c", "echo ready; cat; echo still paused >&2; exit 3")
    with (
        pytest.raises(NotLetGoError, match="failed with status 3 when it was to let go: still paused"),
        fails,
    ):
        pass


def test_one_that_let_go_by_itself_and_failed_in_it_says_both(host):
    def tell_when_it_has(beside_us):
        beside_us.hear(LIMIT)
        beside_us.tell("are you there")

    fails = host.companion("sh", "-c", "echo ready; cat; echo done; exit 3", at_most=0.1)
    with (
        pytest.raises(NotLetGoError, match=r"let go by itself after 0.1 s.*, and failed with status 3"),
        fails as beside_us,
    ):
        tell_when_it_has(beside_us)


def test_one_that_refuses_holds_nothing(host):
    with pytest.raises(CommandFailedError) as raised, host.companion("sh", "-c", "exit 3"):
        pytest.fail("it was not ready")
    assert not isinstance(raised.value, NotLetGoError)


def test_what_fails_while_it_holds_is_told_first(host):
    with (
        pytest.raises(ValueError, match="no snapshot"),
        host.companion("sh", "-c", "echo ready; cat; exit 3"),
    ):
        raise ValueError("no snapshot")


def test_a_companion_that_is_not_installed_is_a_sentence(host):
    with pytest.raises(UnavailableError, match=r"«no-such-companion» cannot be started"):  # noqa: SIM117
        with host.companion("no-such-companion"):
            pytest.fail("there is none")


# Programs that stay beside us


@pytest.fixture
def beside_us(host, tmp_path):
    """A program that writes down what it hears, and when there is nobody left to hear."""
    program = (
        "sh",
        "-c",
        f"while read -r line; do echo $line >> {tmp_path}/heard; done; echo >> {tmp_path}/end",
    )
    yield lambda: host.beside(*program)
    for started in host._beside.values():
        started._process.stdin.close()
        started._process.wait()


def test_a_program_beside_us_is_started_once_and_hears_all_that_it_is_told(beside_us, tmp_path):
    for line in ("one", "two"):
        beside_us().tell(line)
    assert eventually(
        lambda: (tmp_path / "heard").exists() and (tmp_path / "heard").read_text() == "one\ntwo\n"
    )
    assert beside_us() is beside_us()


def test_a_program_beside_us_that_has_ended_is_started_again(beside_us, tmp_path):
    first = beside_us()
    first._process.kill()
    first._process.wait()
    first._process.stdin.close()
    beside_us().tell("again")
    assert eventually((tmp_path / "heard").exists)


def test_a_program_beside_us_ends_after_us_whatever_ended_us(tmp_path):
    program = ("sh", "-c", f"while read -r line; do :; done; echo > {tmp_path}/end")
    if (child := os.fork()) == 0:
        RealHost().beside(*program).tell("one")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert eventually((tmp_path / "end").exists)


def test_a_program_beside_us_gets_no_signal_of_our_process_group_or_session(beside_us):
    pid = beside_us()._process.pid
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert os.getsid(0) != pid


def test_a_program_beside_us_keeps_no_pipe_of_our_caller_open(beside_us):
    pid = beside_us()._process.pid
    assert {str(Path(f"/proc/{pid}/fd/{number}").readlink()) for number in (1, 2)} == {"/dev/null"}


def test_a_program_beside_us_that_is_not_installed_is_a_sentence(host):
    with pytest.raises(UnavailableError, match=r"«no-such-program» cannot be started"):
        host.beside("no-such-program")


# A time that is over


def test_what_takes_too_long_is_ended_and_says_so_and_what_comes_after_is_not(host):
    late = BackupError("too late")
    with pytest.raises(BackupError, match="too late"), host.interruption.within(0.05, late):
        host.run("sleep", "600")
    assert host.run("sh", "-c", "sleep 0.1; echo done").out == "done\n"


def test_a_time_that_is_not_over_changes_nothing(host):
    with host.interruption.within(600, BackupError("too late")):
        host.run("true")


def test_a_signal_is_not_forgotten_with_the_time(interruption):
    host = RealHost(interruption)
    with interruption.within(600, BackupError("too late")):
        os.kill(os.getpid(), signal.SIGHUP)
    with pytest.raises(RunInterrupted):
        host.run("true")
    assert command.readable([interruption.bell], 0)


def test_who_lets_go_is_not_hurried(host):
    with host.interruption.shield(), host.interruption.within(0.01, BackupError("too late")):
        assert host.run("sh", "-c", "sleep 0.2; echo done").out == "done\n"


def test_who_lets_go_is_hurried_where_that_has_a_limit_too(host):
    with (
        pytest.raises(CommandFailedError, match="did not end within 1 s and was ended"),
        host.interruption.within(0.01, BackupError("too late"), letting_go=0.5),
        host.interruption.shield(),
    ):
        host.run("sleep", "600")


def test_what_lets_go_is_tried_also_when_there_is_no_time_left(host):
    with host.interruption.within(0, BackupError("too late"), letting_go=0), host.interruption.shield():
        assert host.run("echo", "done").out == "done\n"


def test_what_must_be_done_is_done_though_the_time_is_over(host):
    with host.interruption.within(0, BackupError("too late")), host.shielded():
        assert host.run("echo", "done").out == "done\n"


def test_a_program_beside_us_is_waited_for_no_longer_than_there_is_time(host):
    with (
        pytest.raises(BackupError, match="too late"),
        host.interruption.within(0.5, BackupError("too late")),
        host.companion("sh", "-c", "read line"),
    ):
        pass


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_command_that_is_never_killed_is_left_to_itself_when_the_time_for_all_is_over(host, deaf_lvs):
    with (
        pytest.raises(CommandStuckError, match="was left to itself"),
        host.interruption.within(0.2, BackupError("too late"), letting_go=0.4),
    ):
        host.run("lvs")
    assert eventually((deaf_lvs / "signals").exists)
    assert runs(int((deaf_lvs / "pid").read_text()))


def test_a_command_that_does_not_listen_leaves_time_to_let_go(host):
    deaf = "trap '' TERM; while :; do sleep 0.05; done"
    with host.interruption.within(0.2, BackupError("too late"), letting_go=8):
        with pytest.raises(BackupError, match="too late"):
            host.run("sh", "-c", deaf)
        assert host.interruption.left_for_all


def test_of_a_command_that_talks_for_hours_the_end_is_kept(host, monkeypatch):
    monkeypatch.setattr(command, "MOST", 1 << 20)
    answer = host.run("sh", "-c", "yes 'another file' | head -c 9000000; echo; echo the end")
    assert len(answer.out) == 1 << 20
    assert answer.out.endswith("\nthe end\n")


def test_the_memory_of_what_it_said_before_is_given_back(monkeypatch):
    monkeypatch.setattr(command, "MOST", 1 << 20)
    ours = os.memfd_create("stdout")
    with os.fdopen(os.dup(ours), "wb", buffering=0) as its:
        for number in range(5):
            its.write(str(number).encode() * (1 << 20))
        command.forget_the_beginning(ours)
        assert os.fstat(ours).st_blocks * 512 <= 2 << 20
        assert command.content(ours) == "4" * (1 << 20)
        its.write(b"5")
        assert command.content(ours) == "4" * ((1 << 20) - 1) + "5"
    os.close(ours)
