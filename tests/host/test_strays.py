"""A journal is overwritten, on the real host: what its run holds is found, told, and goes by the commands told."""

from __future__ import annotations

import json
import subprocess

import pytest

STILL_HELD = 81
FORMS = {
    "volumes": {},
    "plain partitions": {"lvm": False},
}


@pytest.fixture(params=FORMS.values(), ids=FORMS.keys())
def before(request, site, new_disk, host_state):
    """The host before a run whose journal was overwritten."""
    site.back_up(new_disk(**request.param).path)
    state = host_state()
    assert site.call("pre", "nightly").returncode == 0
    for journal in (site.folder / "state" / "journals").glob("*.jsonl"):
        journal.write_bytes(b"\xff" * journal.stat().st_size)
    return state


def of_this_test(site, text: str) -> list[dict[str, str]]:
    """Those strays that are this test's: others on this machine may have lost runs, or state folders of their own."""
    [run] = [path.stem for path in (site.folder / "state" / "journals").iterdir()]
    [record] = [record for record in json.loads(text) if record["state"] == "stray"]
    return [hold for hold in record["holds"] if hold["run"] == run or str(site.folder) in hold["by_hand"]]


def test_what_a_lost_run_holds_goes_by_the_commands_that_are_told(site, before, host_state):
    held = host_state()
    done = site.call("recover")
    assert done.returncode == STILL_HELD
    assert "is damaged" in done.stderr
    assert "loop device /dev/loop" in done.stderr
    assert host_state() == held
    strays = of_this_test(site, site.call("held", "--strays", "--json").stdout)
    told = site.call("held", "--strays").stdout
    for stray in strays:
        assert f"      {stray['by_hand']}\n" in told
        subprocess.run(["sh", "-c", stray["by_hand"]], check=True)
    assert host_state() == before


def test_a_living_hold_is_no_stray(site, new_disk):
    site.back_up(new_disk().path)
    assert site.call("pre", "nightly").returncode == 0
    [hold] = site.held()
    *_, last = json.loads(site.call("held", "--strays", "--json").stdout)
    assert last == hold or not [stray for stray in last["holds"] if stray["run"] == hold["run"]]
    assert site.call("post", "nightly").returncode == 0
