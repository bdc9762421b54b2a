"""Kopia's actions before and after the root of a snapshot.

Kopia reads ``KOPIA_SNAPSHOT_PATH=…`` from the action's standard output, and backs up what is there in the place of its
source. It calls no "after" if "before" failed.
"""

from __future__ import annotations

from holdstill.callers import Call, File, Given
from holdstill.errors import UsageError

FILES = (File("policy.sh", "once, in root's shell: the policy of what is to be backed up"),)


def hook(given: Given) -> Call:
    """Tell before from after by our command line, as older releases have no ``KOPIA_ACTION``."""
    when = given.words[0] if given.words else given.environment.get("KOPIA_ACTION", "").partition("-")[0]
    session = given.environment.get("KOPIA_SNAPSHOT_ID", "default")
    if when == "before":
        return Call("pre", given.job, session, form="kopia")
    if when == "after":
        return Call("post", given.job, session)
    raise UsageError(f"Kopia's action is 'before' or 'after', not {when!r}.")
