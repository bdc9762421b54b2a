"""The folder in which a job's trees appear, and the note in it that says what they are.

Nothing held, nothing there: a backup that comes at the wrong time must find no folder rather than an
empty one, which many programs would back up with success.
"""

from __future__ import annotations

import shlex

import msgspec

from holdstill.facts import Facts
from holdstill.host import Host
from holdstill.run.run import Run
from holdstill.words import Layer, Search, Stray

NOTE = ".holdstill.json"
KINDS = {"f": "file", "d": "folder"}
"What find(1) calls them."
REMOVE = {"f": ("rm", "--force"), "d": ("rmdir",)}


def make_job_folder(run: Run) -> None:
    """Make the folder for the trees, with a mode of its own: callers come with umask 077."""
    folder = run.info.trees
    run.hold("holdstill").promise(f"folder {folder}", by_hand=["rmdir", folder], folder=folder)
    run.host.run("mkdir", "--parents", "--mode=0755", folder)


def leave_note(run: Run) -> None:
    """Say in the job's folder what is held, so that a backup can check that it reads a real hold."""
    path = f"{run.info.trees}/{NOTE}"
    run.hold("holdstill").promise(f"note {path}", by_hand=["rm", "--force", path], file=path)
    note = {"run": run.info, "guests": {exposed.guest: exposed.sources for exposed in run.exposed}}
    run.host.write(path, msgspec.json.format(msgspec.json.encode(note), indent=2).decode() + "\n")


def undo(facts: Facts, host: Host) -> None:
    """Remove the note, or the folder if it is empty: what somebody else put there is not ours to remove."""
    if "file" in facts:
        host.run("rm", "--force", str(facts["file"]))
    elif host.look(folder := str(facts["folder"])):
        host.run("rmdir", folder)


def strays(search: Search, host: Host) -> list[Stray]:
    """Find folders of jobs, with what is in them, that no run has: they would be in the next one's way."""
    if not host.look(search.trees):
        return []
    depth = ("-mindepth", "1", "-maxdepth", "2", "-depth", "-xdev")
    found = host.ask("find", search.trees, *depth, "-printf", r"%y %p\0").out.split("\0")[:-1]
    return [
        Stray(what=f"{KINDS[kind]} {path}", by_hand=shlex.join([*REMOVE[kind], path]), layer=Layer.FOLDER)
        for kind, _, path in (line.partition(" ") for line in found)
        if kind in KINDS and search.is_stray_tree(path)
    ]
