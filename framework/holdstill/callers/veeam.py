"""Veeam Agent for Linux: its scripts before and after a job.

It begins its job whatever becomes of the first one: only that the folder is not there keeps it from a guest's files.
"""

from __future__ import annotations

from holdstill.callers import Call, File, Given
from holdstill.errors import UsageError

FILES = (
    File("pre-job.sh", "on the host with the guests, as /etc/veeam/holdstill-JOB-pre.sh, with mode 0755"),
    File("post-job.sh", "on the host with the guests, as /etc/veeam/holdstill-JOB-post.sh, with mode 0755"),
)
LIMIT = 600.0
"Seconds after which Veeam stops a script, and goes on."


def hook(given: Given) -> Call:
    """Tell before from after by our command line: Veeam says nothing."""
    match given.words:
        case ["pre-job"]:
            return Call("pre", given.job, within=LIMIT)
        case ["post-job"]:
            return Call("post", given.job)
    raise UsageError(f"Veeam's script is pre-job or post-job, not {' '.join(given.words)!r}.")
