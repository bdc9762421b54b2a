"""Applications made quiet, on the real host: for the snapshot only, and never for longer, whoever is killed."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest

from .processes import command_lines, processes_with
from .scene import eventually


@pytest.mark.parametrize("kind", ["coprocess", "commands"])
def test_it_is_quiet_while_the_snapshot_is_made_and_not_while_the_backup_runs(scene, disk, kind):
    scene.configure(disk, getattr(scene, kind)())
    process = scene.start()
    assert scene.reached("snapshot")
    assert scene.quiet
    scene.go_on("snapshot")
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert not scene.quiet
    plugins = [one["plugin"] for one in json.loads(out)["applications"]]
    assert plugins[-1] == ("coprocess" if kind == "coprocess" else "before-and-after")
    assert (scene.folder / "story").read_text().count("let go") == 1


@pytest.mark.parametrize("point", ["becoming quiet", "quiet", "letting go"])
def test_a_coprocess_lets_go_when_holdstill_is_killed(scene, disk, point):
    waits = {
        "becoming quiet": {"before_ready": scene.wait("on")},
        "letting go": {"before_letting_go": scene.wait("on")},
    }
    scene.configure(disk, scene.coprocess(**waits.get(point, {})))
    if point == "letting go":
        scene.go_on("snapshot")
    process = scene.start()
    assert scene.reached("snapshot" if point == "quiet" else "on")
    assert scene.quiet
    process.kill()
    process.communicate()
    scene.go_on("on")
    assert eventually(lambda: not scene.quiet), "nobody has called recover"
    scene.go_on("snapshot")
    assert scene.site.call("recover").returncode == 0


def test_commands_are_undone_by_recover_when_the_guard_was_killed_as_well(scene, disk, host_state):
    before = host_state()
    scene.configure(disk, scene.commands())
    process = scene.start()
    assert scene.reached("snapshot")
    for guard in processes_with("thaw_guard.py", str(scene.folder)):
        os.kill(guard, signal.SIGKILL)
    process.kill()
    process.communicate()
    assert scene.quiet
    [held] = [hold for held in scene.site.held() for hold in held["holds"] if "made quiet" in hold["what"]]
    variables = f"HOLDSTILL_JOB=nightly HOLDSTILL_RUN={scene.site.held()[0]['run']} HOLDSTILL_GUEST=web"
    assert held["by_hand"] == f"env {variables} {scene.folder}/after"
    assert scene.site.call("recover").returncode == 0
    assert not scene.quiet
    scene.go_on("snapshot")
    assert host_state() == before


@pytest.mark.parametrize("kind", ["coprocess", "commands"])
@pytest.mark.parametrize("if_not_quiet", ["fail", "crash-consistent"])
def test_it_goes_on_by_itself_when_the_snapshot_takes_too_long(scene, disk, kind, if_not_quiet):
    scene.configure(disk, getattr(scene, kind)(f", at-most: 0.3s, if-not-quiet: {if_not_quiet}"))
    process = scene.start()
    assert scene.reached("snapshot")
    assert eventually(lambda: not scene.quiet), "while the run still makes its snapshot"
    scene.go_on("snapshot")
    out, err = process.communicate(timeout=90)
    if if_not_quiet == "fail":
        assert process.returncode != 0
        assert "0.3 s" in err
    else:
        assert process.returncode == 0, err
        [not_quiet] = [one for one in json.loads(out)["applications"] if one["why_not"]]
        assert "0.3 s" in not_quiet["why_not"]
    assert scene.site.held() == []


def test_a_guard_that_let_go_while_a_command_was_at_work_says_so(scene, disk):
    waits = scene.script("waits-on", scene.wait("on"))
    last = f"before-and-after: {{before: {waits}, after: 'true'}}"
    scene.configure(disk, scene.commands(", at-most: 0.3s"), last)
    scene.go_on("snapshot")
    process = scene.start()
    assert scene.reached("on")
    assert eventually(lambda: not scene.quiet)
    scene.go_on("on")
    out, err = process.communicate(timeout=90)
    assert process.returncode != 0, out
    assert "it was let go of after 0.3 s" in err
    assert scene.site.held() == []


def test_a_coprocess_that_fails_says_why(scene, disk):
    scene.configure(
        disk, f"coprocess: {{run: {scene.script('fails', 'echo the database is down >&2; exit 1')}}}"
    )
    code, told = scene.run()
    assert code == 71
    assert "guest web, quiesce: coprocess" in told["failures"][0]["sentence"]
    assert "the database is down" in told["failures"][0]["sentence"]


@pytest.mark.parametrize("if_not_quiet", ["fail", "crash-consistent"])
def test_a_coprocess_that_does_not_let_go_fails_the_job_as_nobody_else_knows_how(scene, disk, if_not_quiet):
    fails = "echo the queue stays paused >&2; exit 3"
    scene.configure(disk, scene.coprocess(f", if-not-quiet: {if_not_quiet}", before_letting_go=fails))
    scene.go_on("snapshot")
    code, told = scene.run()
    assert code == 71
    assert "failed with status 3 when it was to let go" in told["failures"][0]["sentence"]
    assert "the queue stays paused" in told["failures"][0]["sentence"]


def test_the_pages_program_fails_if_the_shop_cannot_go_on(scene, disk):
    page = Path(__file__).parents[2] / "docs" / "how-to" / "quiesce-an-application.md"
    [text] = re.findall(r"```sh\n(#!/bin/sh\n.*?)```", page.read_text(), re.DOTALL)
    shopctl = scene.script("shopctl", f'echo "$1" >> {scene.folder}/story; test "$1" = pause')
    scene.configure(disk, f"coprocess: {{run: {scene.script('shop', text.replace('shopctl', shopctl))}}}")
    scene.go_on("snapshot")
    code, told = scene.run()
    assert code == 71
    assert "failed with status 1 when it was to let go" in told["failures"][0]["sentence"]
    assert (scene.folder / "story").read_text().split() == ["pause", "resume"]


def test_a_coprocess_that_does_not_become_quiet_in_time_is_told_to_let_go(scene, disk):
    scene.configure(disk, scene.coprocess(", within: 0.3s", before_ready="cat"))
    code, told = scene.run()
    assert code == 71
    assert "said nothing within 0.3 s" in told["failures"][0]["sentence"]
    assert not scene.quiet


def test_all_are_left_when_one_cannot_be_entered(scene, disk):
    fails = f"coprocess: {{run: {scene.script('fails', 'exit 1')}}}"
    scene.configure(disk, scene.commands(), scene.coprocess(), fails)
    code, _ = scene.run()
    assert code == 71
    assert not scene.quiet
    assert (scene.folder / "story").read_text().split("\n")[-3:] == ["let go", "let go", ""]


def test_what_is_missing_is_said_before_anything_is_held(scene, disk):
    scene.configure(disk, "coprocess: {run: no-such-program, secrets: {PASSWORD: /no/such/file}}")
    result = scene.site.call("check", "nightly")
    assert "no-such-program" in result.stderr + result.stdout
    assert "/no/such/file" in result.stderr + result.stdout


@pytest.mark.parametrize("kind", ["coprocess", "commands"])
def test_a_secret_reaches_the_program_and_nothing_else(scene, disk, kind):
    secret = scene.folder / "secret"
    secret.write_text("s3cr3t-word\n")
    secret.chmod(0o600)
    more = f", secrets: {{PASSWORD: {secret}}}"
    note = f"echo $PASSWORD > {scene.folder}/told"
    step = (
        scene.coprocess(more, before_ready=note) if kind == "coprocess" else scene.commands(more, then=note)
    )
    scene.configure(disk, step)
    process = scene.start()
    assert scene.reached("snapshot")
    assert (scene.folder / "told").read_text() == "s3cr3t-word\n"
    everything = b"".join(path.read_bytes() for path in (scene.site.folder / "state").rglob("*.jsonl"))
    arguments = b"".join(words for _, words in command_lines())
    scene.go_on("snapshot")
    out, err = process.communicate(timeout=90)
    plan = scene.site.call("plan", "nightly").stdout
    for told in (everything.decode(), arguments.decode(errors="replace"), out, err, plan):
        assert "s3cr3t" not in told
