"""A terminal that goes away in mid-run, as of a job in the background whose user has logged out."""

from __future__ import annotations

import os
import pty

import pytest

TELLS_PROGRESS = """
from holdstill.plugin import hookimpl

@hookimpl
def holdstill_make_backup(step, host, progress):
    progress.begin("an archive", 100)
    progress.at(1)
    host.run("{gate}")
    progress.at(2)
    progress.begin("another one", 100)
    progress.at(1)
    return {{}}
"""


@pytest.mark.parametrize("more", [(), ("--verbose",)])
@pytest.mark.parametrize("backup", ["{{command: {{run: [sh, -c, {gate} && echo a word >&2]}}}}", "tells"])
def test_a_run_goes_on_without_it(place, gate, backup, more):
    place.plugin("tells", TELLS_PROGRESS.format(gate=gate.script))
    place.write(job=f"backup: {backup.format(gate=gate.script)}")
    ours, theirs = pty.openpty()
    process = place.start("run", "nightly", *more, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    place.eventually(gate.reached.exists)
    os.close(ours)
    gate.opened.touch()
    assert process.wait(90) == 0
    assert place.left() == []
