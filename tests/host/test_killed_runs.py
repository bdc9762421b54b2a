"""A run killed with SIGKILL, on the real host: whatever it was at, a new process puts the host right."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
from pathlib import Path

import pytest

from .scene import eventually

SEED = int(os.environ.get("HOLDSTILL_SEED") or random.SystemRandom().randrange(1_000_000))
TRIES = 12


@pytest.mark.parametrize("number", range(TRIES))
def test_a_run_killed_at_a_random_moment_is_recovered(site, new_disk, host_state, number):
    rng = random.Random(f"{SEED} {number}")
    print(f"HOLDSTILL_SEED={SEED}")
    site.back_up(new_disk().path)
    before = host_state()
    kill_after(site, seconds=rng.uniform(0.1, 0.6))
    done = site.call("recover")
    assert done.returncode == 0, done.stderr
    assert host_state() == before
    assert site.held() == []
    assert site.call("run", "nightly").returncode == 0
    assert host_state() == before


def test_a_run_killed_at_each_of_its_promises_is_recovered(site, new_disk, host_state):
    site.back_up(new_disk().path)
    before = host_state()
    promises = 1
    # a run that we look at too late is over, or at its end: that there are no more promises is believed the third time
    while any(kill_at_promise(site, promises) for _ in range(3)):
        held = site.held()
        assert [hold["state"] for hold in held] == ["abandoned"]
        done = site.call("recover")
        assert done.returncode == 0, done.stderr
        assert host_state() == before, promises
        assert site.held() == []
        promises += 1
    assert promises > 8


def test_what_a_killed_run_holds_can_be_let_go_of_by_hand(site, new_disk, host_state):
    site.back_up(new_disk().path)
    before = host_state()
    assert site.call("pre", "nightly").returncode == 0
    [hold] = site.held()
    for step in hold["holds"]:
        subprocess.run(["sh", "-c", step["by_hand"]], check=True)
    assert host_state() == before


def test_recovery_waits_for_the_command_that_a_killed_run_was_at(site, new_disk, host_state):
    plugin = site.folder / "plugins"
    plugin.mkdir(mode=0o755)
    (plugin / "slow.py").write_text(SLOW)
    (plugin / "slow.py").chmod(0o644)
    disk = new_disk().path
    site.back_up(disk, snapshot="slow")
    before = host_state()
    process = subprocess.Popen(site.argv("run", "nightly"), env=site.environment, stderr=subprocess.DEVNULL)
    wait_for(site.folder / "started")
    process.kill()
    process.wait()
    assert site.call("recover").returncode == 0
    assert (site.folder / "started").read_text() == "begun\nended\n"
    assert not list(site.folder.glob("*.slow"))
    assert host_state() == before


def test_what_a_backup_leaves_running_does_not_keep_the_guest_held(site, new_disk, host_state):
    site.back_up(new_disk().path)
    pid = site.folder / "pid"
    backup = f"{{command: {{run: [sh, -c, 'sleep 600 & echo $! > {pid}; exit 1']}}}}"
    site.config.write_text(site.config.read_text().replace(f"{{tar: {{to: {site.archives}}}}}", backup))
    before = host_state()
    done = site.call("run", "nightly")
    os.kill(int(pid.read_text()), signal.SIGKILL)  # fails if it has ended: then it was waited for
    assert done.returncode == 79
    assert host_state() == before


SLOW = """
from functools import partial

from holdstill.plugin import hookimpl

@hookimpl
def holdstill_snapshot(steps, host):
    return tuple(partial(copy_of, step, host) for step in steps)

def copy_of(step, host, hold):
    [disk] = step.disks
    folder = disk.path.rpartition("/")[0]
    copy = f"{folder}/{step.run.id}.slow"
    hold.promise("slow copy", by_hand=["rm", "-f", copy], copy=copy)
    script = 'echo begun > "$1/started"; sleep 2; touch "$2"; echo ended >> "$1/started"'
    host.run("sh", "-c", script, "sh", folder, copy)
    return step.disks

@hookimpl
def holdstill_undo(facts, host):
    host.run("rm", "-f", facts["copy"])
"""


def kill_after(site, seconds: float) -> None:
    """Kill a run that many seconds after its start, if it has not ended."""
    process = subprocess.Popen(site.argv("run", "nightly"), env=site.environment, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kill_at_promise(site, number: int) -> bool:
    """Kill a run as soon as its journal has so many promises; tell whether it ever had."""
    process = subprocess.Popen(site.argv("run", "nightly"), env=site.environment, stderr=subprocess.DEVNULL)
    journals = site.folder / "state" / "journals"
    while process.poll() is None:
        if sum(promises_in(path) for path in journals.glob("*.jsonl")) >= number:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return bool(site.held())
        select.select([], [], [], 0.0005)
    return False


def promises_in(journal: Path) -> int:
    try:
        return journal.read_bytes().count(b'"promise"')
    except FileNotFoundError:
        return 0


def wait_for(path: Path) -> None:
    assert eventually(lambda: path.exists() and path.read_text()), f"{path} did not appear"
