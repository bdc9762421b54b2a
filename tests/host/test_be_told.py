"""People and machines are told how a run on the real host ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from .scene import eventually


@pytest.fixture
def told_site(site, new_disk, ear):
    """A job of a guest with a real disk, of which somebody hears by webhook and by ping."""
    site.back_up(new_disk().path)
    for name, url in (("urls", f"json://{ear.at}/webhook"), ("ping", f"http://{ear.at}/ping")):
        (site.folder / name).write_text(url)
        (site.folder / name).chmod(0o600)
    site.config.write_text(
        site.config.read_text()
        + "    release-within: 1\n"
        + f"around: [{{notify: {{urls: {site.folder}/urls}}}}, {{ping: {{url: {site.folder}/ping}}}}]\n"
    )
    return site


def message(ear) -> dict[str, str]:
    """The one message that was told."""
    [body] = [one.body for one in ear.heard if one.path == "/webhook"]
    found: dict[str, str] = json.loads(body)
    return found


@contextmanager
def keeping_open(path: Path):
    """Have a process that keeps a file open; give its pid."""
    reader = subprocess.Popen(["tail", "--follow", "--lines=0", path])
    try:
        assert eventually(lambda: has_open(reader.pid, path))
        yield reader.pid
    finally:
        reader.kill()
        reader.wait()


def has_open(pid: int, path: Path) -> bool:
    return any(file.samefile(path) for file in Path(f"/proc/{pid}/fd").iterdir() if file.exists())


def test_who_keeps_a_tree_open_when_post_comes_is_told_with_the_commands_by_hand(told_site, ear, host_state):
    before = host_state()
    assert told_site.call("pre", "nightly").returncode == 0
    tree = told_site.trees / "nightly" / "web"
    with keeping_open(tree / "etc" / "hostname") as pid:
        assert told_site.call("post", "nightly").returncode == 0
        said = message(ear)
        assert said["title"].endswith("nightly on " + os.uname().nodename + ": something is still held")
        assert f"tail (pid {pid}, open file) at {tree}" in said["message"]
        [hold] = told_site.held()
        commands = [promise["by_hand"] for promise in hold["holds"]]
        lines = said["message"].splitlines()
        assert [line.strip() for line in lines if line.strip() in commands] == commands
    for command in commands:
        subprocess.run(["sh", "-c", command], check=True)
    assert host_state() == before
    assert told_site.call("recover").returncode == 0
    assert [one.path for one in ear.heard if "ping" in one.path] == [
        "/ping/start",
        "/ping/fail",
        "/ping/fail",
    ]


def test_a_run_that_a_signal_ends_is_told(told_site, ear):
    reached = told_site.folder / "reached"
    os.mkfifo(reached)
    script = told_site.folder / "backup.sh"
    script.write_text(f"#!/bin/sh\necho > {reached}\nexec sleep 600\n")
    script.chmod(0o755)
    told_site.config.write_text(
        told_site.config.read_text().replace(
            f"{{tar: {{to: {told_site.archives}}}}}", f"{{command: {{run: {script}}}}}"
        )
    )
    with subprocess.Popen(
        told_site.argv("run", "nightly"), env=told_site.environment, stderr=subprocess.PIPE
    ) as run:
        reached.read_text()  # waits until the backup writes
        run.send_signal(signal.SIGTERM)
        said = run.stderr.read()
    assert run.returncode == 128 + signal.SIGTERM
    assert said.count(b"\n") == 1, "callers want one line"
    assert "stopped by signal 15" in message(ear)["message"]
    assert [one.path for one in ear.heard if "ping" in one.path] == ["/ping/start", "/ping/fail"]


def test_a_good_run_prints_nothing_of_it(told_site, ear):
    done = told_site.call("run", "nightly")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [one.path for one in ear.heard] == ["/ping/start", "/ping"]


def test_one_who_cannot_be_told_changes_neither_the_exit_code_nor_what_is_printed(told_site):
    for name in ("urls", "ping"):
        (told_site.folder / name).write_text(
            "json://127.0.0.1:9/x" if name == "urls" else "http://127.0.0.1:9/x"
        )
    config = told_site.config.read_text().replace("notify: {", "notify: {when: [ok], ")
    told_site.config.write_text(config.replace("ping: {", "ping: {deadline: 0.1, "))
    done = told_site.call("run", "nightly")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_one_who_never_answers_keeps_no_process_from_ending(told_site, ear):
    (told_site.folder / "urls").write_text(f"json://{ear.at}?rto=600")
    config = told_site.config.read_text().replace("notify: {", "notify: {when: [ok], deadline: 4, ")
    told_site.config.write_text(config.replace("ping: {", "ping: {deadline: 4, "))
    ear.silent.set()
    done = told_site.call("run", "nightly")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {one.path for one in ear.heard} == {"/ping/start", "/ping", "/"}, "all have been asked before that"


def test_plans_and_checks_tell_nobody_and_show_no_secret(told_site, ear):
    for command in ("plan", "check"):
        done = told_site.call(command, "nightly")
        assert done.returncode == 0, done.stderr
        assert "webhook" not in done.stdout + done.stderr
    assert ear.heard == []
