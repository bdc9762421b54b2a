"""Many callers at once, as real processes, some of them killed: no double, no loss, no deadlock, and a clean host.

A sample runs by default; with HOLDSTILL_CAMPAIGN set, all fifty, several times.
"""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
from collections import Counter
from pathlib import Path

import pytest

CAMPAIGN = bool(os.environ.get("HOLDSTILL_CAMPAIGN"))
CALLERS, ROUNDS = (50, 5) if CAMPAIGN else (14, 1)
LIMIT = 600
"Seconds after which nobody will end any more."
SEED = int(os.environ.get("HOLDSTILL_SEED") or random.SystemRandom().randrange(1_000_000))
KILLED = -9
EXPECTED = {
    "pre": {0, 69, 81, KILLED},
    "post": {0, 79, KILLED},
    "recover": {0, 81, KILLED},
    "held": {0, 81, KILLED},
    "run": {0, 69, 81, KILLED},
}
"""Exit codes that are right when others are at work on the same jobs: busy, still held, or a hold that somebody who
was killed had begun to let go of."""


@pytest.mark.parametrize("number", range(ROUNDS))
@pytest.mark.parametrize("kills", [False, True], ids=["all live", "some are killed"])
@pytest.mark.parametrize("jobs", [1, 6])
def test_whatever_many_callers_do_at_once_the_host_is_clean_at_the_end(
    site, new_disk, host_state, jobs, kills, number
):
    rng = random.Random(f"{SEED} {jobs} {kills} {number}")
    print(f"HOLDSTILL_SEED={SEED}")
    names = configure(site, new_disk, jobs)
    before = host_state()
    callers = [start(site, rng, names) for _ in range(CALLERS)]
    if kills:
        kill_some(callers, rng)
    for command, process in callers:
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode in EXPECTED[command], (command, process.returncode, err)
        assert "Traceback" not in err
        if command == "held" and process.returncode != KILLED:
            assert_nothing_is_held_twice(json.loads(out))
    for name in names:
        site.call("post", name)
    done = site.call("recover")
    assert done.returncode == 0, done.stderr
    assert site.held() == []
    assert host_state() == before
    assert not list((site.folder / "state" / "journals").glob("*.jsonl"))


def configure(site, new_disk, jobs: int) -> list[str]:
    """As many jobs, each with a guest of its own; but all guests' images are clones of one."""
    names = [f"job{number}" for number in range(jobs)]
    guests = ""
    for name in names:
        folder = site.folder / name
        folder.mkdir()
        guests += f"  {name}: {{disks: [{new_disk(folder).path}]}}\n"
    backup = f"{{tar: {{to: {site.archives}}}}}"
    jobs_text = "".join(f"  {name}: {{guests: [{name}], backup: {backup}}}\n" for name in names)
    site.configure(f"guests:\n{guests}jobs:\n{jobs_text}")
    return names


def start(site, rng: random.Random, names: list[str]) -> tuple[str, subprocess.Popen[str]]:
    command = rng.choice(["pre", "pre", "post", "post", "recover", "held", "run"])
    more = {"held": ["--json"], "recover": []}.get(command, [rng.choice(names)])
    argv = site.argv(command, *more)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
    return command, subprocess.Popen(argv, env=site.environment, text=True, **pipes)


def kill_some(callers: list[tuple[str, subprocess.Popen[str]]], rng: random.Random) -> None:
    """Kill every third, one after the other, each after some time in which the others go on."""
    for _, process in rng.sample(callers, len(callers) // 3):
        select.select([], [], [], rng.uniform(0, 0.5))
        process.kill()


def assert_nothing_is_held_twice(held: list[dict[str, object]]) -> None:
    """A job is held once; a dead run's rest beside it is nobody's."""
    lively = Counter(hold["job"] for hold in held if hold["state"] != "abandoned")
    assert not [job for job, times in lively.items() if times > 1 and job], held
    journals = [Path(str(hold["journal"])) for hold in held]
    assert len(journals) == len(set(journals))
