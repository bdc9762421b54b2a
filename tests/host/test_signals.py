"""A run that is told to stop ends in order, whatever it is at; told again and again, it still lets go."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess

import pytest

SEED = random.SystemRandom().randrange(1_000_000)
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
TRIES = 16
LIMIT = 60.0


@pytest.mark.parametrize("number", range(TRIES))
def test_a_run_that_is_stopped_at_a_random_moment_leaves_nothing(site, new_disk, host_state, number):
    rng = random.Random(f"{SEED} {number}")
    print(f"seed {SEED}, try {number}")
    site.back_up(new_disk().path)
    before = host_state()
    process = begin(site)
    tell_to_stop(process, rng.choice(STOPPING), after=rng.uniform(0, 1.2))
    while process.poll() is None:
        tell_to_stop(process, rng.choice(STOPPING), after=rng.uniform(0, 0.1))
    assert process.returncode in {0, *(128 + number for number in STOPPING)}
    assert host_state() == before
    assert site.held() == []
    with_a_good_name = [path for path in site.archives.rglob("*.tar*") if path.suffix != ".failed"]
    assert process.returncode == 0 or with_a_good_name == []


def test_a_run_that_is_told_to_stop_all_the_time_leaves_nothing(site, new_disk, host_state):
    site.back_up(new_disk().path)
    before = host_state()
    process = begin(site)
    while process.poll() is None:
        tell_to_stop(process, signal.SIGTERM, after=0.0005)
    assert process.returncode == 128 + signal.SIGTERM
    assert host_state() == before
    assert site.held() == []


def begin(site) -> subprocess.Popen[bytes]:
    """Start a run, and wait until it listens: it has blocked none and ignores none, but takes note."""
    process = subprocess.Popen(site.argv("run", "nightly"), env=site.environment, stderr=subprocess.DEVNULL)
    mask = sum(1 << (number - 1) for number in STOPPING)
    while caught(process.pid) & mask != mask:
        assert process.poll() is None
        select.select([], [], [], 0.001)
    return process


def caught(pid: int) -> int:
    """Give the signals that a process handles (proc_pid_status(5))."""
    with open(f"/proc/{pid}/status") as status:  # noqa: PTH123
        return int(next(line.split()[1] for line in status if line.startswith("SigCgt:")), 16)


def tell_to_stop(process: subprocess.Popen[bytes], number: int, after: float) -> None:
    """Send a signal after some time, unless it has ended by then."""
    pidfd = os.pidfd_open(process.pid)
    try:
        if not select.select([pidfd], [], [], after)[0]:
            process.send_signal(number)
    finally:
        os.close(pidfd)
