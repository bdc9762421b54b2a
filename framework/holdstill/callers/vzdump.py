"""Proxmox VE's vzdump: its hook script, which it calls for each of its phases, with no PATH.

It reads no guest's files itself: the script does, when vzdump has made its images.
"""

from __future__ import annotations

from holdstill.callers import Call, File, Given
from holdstill.errors import UsageError

FILES = (File("script.sh", "on the node with the guests, as /usr/local/sbin/vzdump-JOB, with mode 0755"),)


def hook(given: Given) -> Call:
    """Hold around all that vzdump does in one job; do nothing in phases of single guests, nor in any to come."""
    match given.words:
        case ["job-start"]:
            return Call("pre", given.job)
        case ["job-end"]:
            return Call("post", given.job, verdict="ok")
        case ["job-abort"]:
            return Call("post", given.job, verdict="failed")
        case []:
            raise UsageError("vzdump tells the phase it is in, such as job-start.")
    return Call()
