"""A backup user calls holdstill through a real sudo, with the rules of contrib: these calls, and nothing else."""

from __future__ import annotations

import itertools
import json
import operator
import os
import re
import resource
import shlex
import shutil
import sys
from functools import partial
from pathlib import Path

import click
import pytest

from holdstill.callers import words_of
from holdstill.config.load import NAME

from ..sudo import BackupUser, backup_user, launcher, rules, shipped

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("visudo"), reason="needs root, and sudo installed"
)

CAP_SYS_RESOURCE = 24
LINK = "holdstill-amanda.nightly"
LOOK = """
import json, os, resource
from holdstill.plugin import hookimpl

@hookimpl
def holdstill_expose(run):
    with open({to!r}, "w") as file:
        json.dump({{"environment": dict(os.environ), "limits": run.host.run("sh", "-c", "ulimit -a").out}}, file)
"""
"Tells what a run has of its caller."


@pytest.fixture(scope="module")
def name():
    """A backup user's name."""
    with backup_user() as made:
        yield made


@pytest.fixture
def program(place):
    return launcher(place.root)


@pytest.fixture
def user(program, name):
    """A backup user who may do what contrib/sudoers.d/holdstill-caller allows."""
    with rules(shipped("holdstill-caller", name, program)):
        yield BackupUser(name, program)


def silent(done):
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return True


# What is allowed


def test_a_job_is_held_and_let_go_of(place, user):
    assert silent(user.call("pre", "nightly"))
    assert (place.tree / "disk1").read_text() == "the guest's data"
    assert user.call("held", "nightly").returncode == 0
    assert silent(user.call("post", "nightly"))
    assert place.left() == []


@pytest.mark.parametrize(
    "key", ["7", "nightly.2026-11-25_01.30.00_05", "20261125013000:/srv/data", "a@b+c=d,e-f"]
)
def test_a_session_is_named(place, user, key):
    assert silent(user.call("pre", "nightly", "--session", key))
    assert [held["session"] for held in place.held()] == [key]
    assert silent(user.call("post", "nightly", f"--session={key}"))
    assert place.left() == []


def test_letting_go_is_left_to_the_background_and_waited_for(place, user):
    assert silent(user.call("pre", "nightly"))
    assert silent(user.call("post", "nightly", "--detach"))
    assert user.call("held", "nightly", "--wait=1m").returncode == 0
    assert place.left() == []


def test_a_failure_says_why_in_a_line_as_to_any_caller(place, user):
    place.disk.unlink()
    done = user.call("pre", "nightly")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (66, "", 1)
    assert str(place.disk) in done.stderr


PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "let-a-backup-user-call.md"
CALL = "sudo -n /usr/local/sbin/"


def calls_in(heading):
    """Give the calls that the page tells in a part of it, as a shell would read them."""
    part = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line.removeprefix(CALL) for line in part.splitlines() if line.startswith(CALL)]
    return [shlex.split(line.replace("$JOB_ID", "nightly.7")) for line in lines]


@pytest.fixture
def amanda(user):
    """That user, who calls by the link whose name tells Amanda's job."""
    return BackupUser(user.name, user.program.with_name(LINK))


def test_every_call_that_the_page_tells_is_allowed(user):
    assert len(calls_in("Call")) == 8
    for program, *words in calls_in("Call"):
        assert BackupUser(user.name, user.program.with_name(program)).may(*words), words


def test_a_caller_is_told_where_the_files_are(place, user):
    done = user.call("pre", "nightly", "--print=paths")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{place.tree}\n", "")
    assert silent(user.call("post", "nightly"))


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("--config=/tmp/theirs.yaml", "--job=other"),
        ("--job=other", "burp", "post", "0"),
        ("", "post", "0"),
        ("--", "--job=other"),
    ],
)
def test_words_of_a_callers_own_are_no_options_of_ours(place, amanda, words):
    assert silent(amanda.call(*words))
    assert place.left() == []


def test_amanda_holds_and_lets_go_of_the_job_that_the_links_name_tells(place, amanda):
    began = ("--timestamp", "20261125013000")
    assert amanda.call("PRE-DLE-BACKUP", *began).stdout == f"PROPERTY target {place.trees}/nightly\n"
    assert [(held["job"], held["session"]) for held in place.held()] == [("nightly", "20261125013000")]
    assert silent(amanda.call("POST-DLE-BACKUP", *began))
    assert place.left() == []


@pytest.mark.parametrize("called", ["holdstill-amanda.other", "holdstill-burp.nightly"])
def test_a_link_of_theirs_with_another_name_is_not_allowed(amanda, tmp_path, called):
    tmp_path.chmod(0o755)
    (tmp_path / called).symlink_to(amanda.program)
    assert amanda.call("support").returncode == 0
    assert BackupUser(amanda.name, tmp_path / called).call("support").returncode == 1


# What is not


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--help",),
        ("pre",),
        ("pre", "other"),
        ("pre", "nightly2"),
        ("pre", "../nightly"),
        ("pre", "nightly", "other"),
        ("pre", "NIGHTLY"),
        ("run", "nightly"),
        ("recover",),
        ("held",),
        ("check", "nightly"),
        ("--config=/tmp/theirs.yaml", "pre", "nightly"),
        ("--plugins=/tmp/theirs", "pre", "nightly"),
        ("pre", "--config=/tmp/theirs.yaml", "nightly"),
        ("pre", "nightly", "--config=/tmp/theirs.yaml"),
        ("pre", "nightly", "-v"),
        ("pre", "nightly", "--log=terminal"),
        ("pre", "nightly", "--session"),
        ("pre", "nightly", "--session", ""),
        ("pre", "nightly", "--session", "-v"),
        ("pre", "nightly", "--session", "--json"),
        ("pre", "nightly", "--session", "a", "-v"),
        ("pre", "nightly", "--session", "a -v"),
        ("pre", "nightly", "--session=a", "--session=b"),
        ("pre", "nightly", "--session", "a\n-v"),
        ("pre", "nightly", "--session", "a\n"),
        ("pre", "nightly\n"),
        ("pre", "nightly\npost"),
        ("pre", "nightly", ""),
        ("", "pre", "nightly"),
        ("pre", "", "nightly"),
        ("pre", "nightly", "--session", "a" * 129),
        ("pre", "nightly", "--session", "ä"),
        ("pre", "nightly", "--session", b"a\xff"),
        ("pre", "nightly", "--session", "a;id"),
        ("pre", "nightly", "--session", "$(id)"),
        ("post", "nightly", "--strict"),
        ("post", "nightly", "--in-background"),
        ("held", "nightly", "--strays"),
        ("held", "nightly", "--wait=for ever"),
        ("hook", "--job=other", "amanda", "PRE-DLE-BACKUP"),
        ("hook", "amanda", "PRE-DLE-BACKUP"),
        ("hook", "--job=nightly", "kopia", "before"),
        ("hook", "--job=nightly", "amanda", "PRE-DLE-BACKUP"),
        ("hook", "--job=nightly amanda", "--job=other", "burp", "post", "0"),
    ],
    ids=repr,
)
def test_no_other_call_is_allowed(place, user, words):
    done = user.call(*words)
    assert done.returncode == 1
    assert "sudo: a password is required" in done.stderr
    assert place.left() == []


# However its words are put together: sudo sees them with spaces between them, and not where one ends


def with_another_word(words):
    """Give a line, and it with each word that could change what it means, at each place."""
    lines = [words]
    for more in ("--job=other", "--session=b", "--config=/x", "--detach", "other", "burp", "-v", "--", "\n"):
        lines += [[*words[:place], more, *words[place:]] for place in range(len(words) + 1)]
    return lines


def put_together(words):
    """Give all ways to hand over a line that has spaces between these words."""
    for spaces in itertools.product([" ", "\0"], repeat=len(words) - 1):
        text = words[0] + "".join(map(operator.add, spaces, words[1:]))
        yield text.split("\0")


def meant(program, words):
    """What holdstill takes a command line for: its own options, its subcommand, and the values of that."""
    from holdstill.cli.app import app

    ctx = click.Context(app)
    places, rest, _ = app.make_parser(ctx).parse_args(words_of(program, words))
    name, command, rest = app.resolve_command(ctx, rest)
    return places, name, command.make_context(name, rest, parent=ctx).params


def is_for_nightly_alone(program, words):
    try:
        places, name, values = meant(program, words)
    except click.ClickException:
        return True  # it is refused
    if name == "hook":
        return (places, values["job"], values["caller"]) == ({}, "nightly", "amanda")
    job = values["job"][0] if isinstance(values["job"], tuple) else values["job"]
    return not places and name in {"pre", "post", "paths", "held"} and (job == "nightly" or " " in job)


def test_no_job_has_a_name_with_a_space():
    assert not NAME.fullmatch("nightly --session")


LINES = {
    "holdstill": [
        ["pre", "nightly", "--session", "a", "--print=paths", "--within=4m"],
        ["post", "nightly", "--session", "a", "--outcome=ok", "--detach"],
        ["paths", "nightly", "--print=paths"],
        ["held", "nightly", "--wait=5m"],
        ["hook", "--job=nightly", "amanda", "PRE-DLE-BACKUP", "0"],
    ],
    LINK: [["PRE-DLE-BACKUP", "--timestamp", "20261125013000"], ["hook", "amanda"]],
}


@pytest.mark.parametrize(
    ("called", "line"),
    [(program, line) for program, lines in LINES.items() for line in lines],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_is_allowed_is_for_that_job_alone_however_it_is_put_together(user, called, line):
    caller = BackupUser(user.name, user.program.with_name(called))
    allowed = [words for words in with_another_word(line) if caller.may(*words)]
    assert [words for words in allowed if not is_for_nightly_alone(called, words)] == []
    for words in allowed:
        assert [split for split in put_together(words) if not is_for_nightly_alone(called, split)] == []
    assert bool(allowed) == (line[0] != "hook" or called == LINK)


def test_where_an_argument_ends_changes_nothing_for_sudo(user):
    for words in (["pre", "nightly", "--session", "a"], ["hook", "--job=nightly", "amanda"]):
        assert len({user.may(*split) for split in put_together(words)}) == 1


def test_a_program_of_theirs_with_that_name_is_not_what_is_run(user, tmp_path):
    tmp_path.chmod(0o755)
    theirs = tmp_path / "holdstill"
    theirs.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    theirs.chmod(0o755)
    assert BackupUser(user.name, theirs).call("pre", "nightly").returncode == 1
    assert (
        BackupUser(user.name, Path("holdstill"))
        .call("pre", "nightly", env={"PATH": f"{tmp_path}:{os.defpath}"})
        .returncode
    )
    assert not (tmp_path / "ran").exists()


def test_whoever_watches_may_look_and_touch_nothing(place, name, program):
    assert place.run("pre", "nightly").silent
    with rules(shipped("holdstill-monitor", name, program)):
        watcher = BackupUser(name, program)
        assert "nightly" in watcher.call("held").stdout
        assert '"nightly"' in watcher.call("held", "--json").stdout
        assert calls_in("Watch") == [["holdstill", "held"], ["holdstill", "held", "--json"]]
        for words in [("post", "nightly"), ("held", "--strays"), ("--config=/x", "held"), ("recover",)]:
            assert watcher.call(*words).returncode == 1
    assert len(place.held()) == 1


# What comes with a call


@pytest.fixture
def lax_user(program, name):
    """A user of a site whose sudo lets everything through that it can."""
    with rules(
        f'Defaults:{name} !env_reset, env_keep += "HOLDSTILL_CONFIG PYTHONPATH"\n'
        f"{name} ALL = (root) NOPASSWD: SETENV: {program}\n"
    ):
        yield BackupUser(name, program)


THEIRS = {
    "http_proxy": "http://127.0.0.1:9/",
    "OPENSSL_CONF": "/tmp/theirs.cnf",
    "TMPDIR": "/tmp/theirs",
    "TZ": ":/tmp/theirs",
    "NOTIFY_SOCKET": "/tmp/theirs.socket",
    "WATCHDOG_USEC": "1",
    "CREDENTIALS_DIRECTORY": "/tmp/theirs",
    "XDG_CONFIG_HOME": "/tmp/theirs",
    "PYTHONPATH": "/tmp/theirs",
    "LD_PRELOAD": "/tmp/theirs.so",
    "LD_LIBRARY_PATH": "/tmp/theirs",
    "LVM_SYSTEM_DIR": "/tmp/theirs",
    "ENV": "/tmp/theirs",
}


@pytest.fixture
def looked(place):
    """What the last run had of its caller."""
    place.plugin("look", LOOK.format(to=str(place.root / "looked.json")))
    return lambda: json.loads((place.root / "looked.json").read_text())


@pytest.mark.parametrize("who", ["user", "lax_user"])
def test_nothing_of_their_environment_reaches_a_run(request, looked, who):
    user = request.getfixturevalue(who)
    assert silent(
        user.call("pre", "nightly", env={"PATH": os.defpath, "TERM": "dumb", "LC_ALL": "C.UTF-8"} | THEIRS)
    )
    environment = looked()["environment"]
    assert not any("theirs" in value for value in environment.values())
    assert not {"http_proxy", "WATCHDOG_USEC"} & environment.keys()
    assert silent(user.call("post", "nightly"))


@pytest.mark.parametrize("what", ["CONFIG", "PLUGINS", "STATE", "TREES", "SESSION"])
def test_what_is_meant_for_us_is_not_taken_even_where_sudo_lets_it_through(place, lax_user, what):
    theirs = place.root / "theirs.yaml"
    theirs.write_text(place.config.read_text())
    environment = {"PATH": os.defpath, f"HOLDSTILL_{what}": str(theirs)}
    done = lax_user.call("pre", "nightly", env=environment)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (77, "", 1)
    assert f"HOLDSTILL_{what} in the environment of who called sudo: that is not taken" in done.stderr
    assert place.left() == []


def test_with_the_rules_of_contrib_it_does_not_even_come_through(place, user):
    theirs = {
        f"HOLDSTILL_{name}": "/nonexistent" for name in ("CONFIG", "PLUGINS", "STATE", "TREES", "SESSION")
    }
    assert silent(user.call("pre", "nightly", env={"PATH": os.defpath} | theirs))
    assert [held["session"] for held in place.held()] == ["default"]
    refused = user.call("HOLDSTILL_CONFIG=/nonexistent", "pre", sudo=("-n",), env={"PATH": os.defpath})
    assert refused.returncode == 1
    assert silent(user.call("post", "nightly"))


def test_root_who_became_root_by_sudo_and_calls_us_then_says_what_they_want(place):
    environment = os.environ | place.environment | {"SUDO_COMMAND": "/bin/bash", "SUDO_UID": "1000"}
    assert place.run("pre", "nightly", env=environment).silent
    assert place.run("post", "nightly", env=environment).silent


def raised(soft, now):
    """Give the limit that somebody who has this one may set, the lower the better for them."""
    return soft, soft if may_raise_limits() else now[1]


def may_raise_limits():
    """Whether root may here: in some containers, what the caller has bound stays so (capabilities(7))."""
    [effective] = re.findall(r"CapEff:\s+(\w+)", Path("/proc/self/status").read_text())
    return bool(int(effective, 16) >> CAP_SYS_RESOURCE & 1)


def bind(**limits):
    for name, soft in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(kind, raised(soft, resource.getrlimit(kind)))


def test_their_limits_on_resources_do_not_bind_a_run(place, user, looked):
    place.disk.write_bytes(b"x" * 100_000)
    theirs = partial(bind, CPU=1000, FSIZE=4096, NOFILE=64, STACK=1 << 20)
    assert silent(user.call("pre", "nightly", preexec_fn=theirs))
    limits = dict(re.findall(r"^(\w+)\(?.*\s(\S+)$", looked()["limits"], re.MULTILINE))
    assert (limits["time"], limits["file"], limits["nofiles"]) == ("unlimited", "unlimited", "1024")
    assert silent(user.call("post", "nightly"))


def test_their_umask_changes_nothing(place, user):
    done = user.call("pre", "nightly", preexec_fn=lambda: os.umask(0o077))
    assert silent(done)
    assert place.tree.parent.stat().st_mode & 0o777 == 0o755
    assert silent(user.call("post", "nightly"))


def test_python_itself_takes_no_word_of_theirs(lax_user, tmp_path):
    tmp_path.chmod(0o755)
    (tmp_path / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    (tmp_path / "holdstill.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    done = lax_user.call(
        "held",
        cwd=tmp_path,
        sudo=("-n", f"PYTHONPATH={tmp_path}", f"PYTHONHOME={tmp_path}"),
        env={"PATH": os.defpath},
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()
    assert sys.flags.isolated == 0  # this very test would find it: it is the launcher that does not
