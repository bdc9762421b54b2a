"""UrBackup's client: the programs that make and remove its snapshots of file systems.

It asks for a snapshot of the volume that a folder is on, and reads the folder at the same place in what
``SNAPSHOT=…`` names. A guest's files have one place only, and only while they are held: so the volume itself is named.
If it gets no snapshot, it may go on without one: then the folder is not there, and its backup fails.
"""

from __future__ import annotations

from pathlib import PurePath

from holdstill.callers import Call, File, Given
from holdstill.errors import UsageError

FILES = (
    File("snapshot.cfg", "into the client's snapshot.cfg, in the place of lines of these names"),
    File("backupdir.sh", "once, in root's shell on the client: the folder that is to be backed up"),
)
NO_SNAPSHOT = "SNAPSHOT=none"
"What UrBackup reads as: none is configured."


def hook(given: Given) -> Call:
    """Answer for folders of the job alone: UrBackup asks for all folders that this client backs up."""
    program, *words = given.words or [""]
    step, _, job = program.partition(".")
    job = given.job or job
    match step, words:
        case "create_filesystem_snapshot", [session, volume, _, folder, *_]:
            if job and not PurePath(folder).is_relative_to(PurePath(given.trees) / job):
                return Call(says=NO_SNAPSHOT)
            return Call("pre", job, session, says=f"SNAPSHOT={volume}")
        case "remove_filesystem_snapshot", [session, *_]:
            return Call("post", job, session)
    raise UsageError(
        "UrBackup calls create_filesystem_snapshot with an id, a volume, a name and a folder, or "
        f"remove_filesystem_snapshot with that id; not {' '.join(given.words)!r}."
    )
