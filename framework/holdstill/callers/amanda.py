"""Amanda: its script API, around what it does with each entry (DLE) of its disklist.

The script says ``PROPERTY target …`` on standard output, and Amanda's application reads there. Amanda takes a word on
standard error for a failure, whatever the exit code: in the middle of a dump, it waits until its time is over. It
dumps an entry that has failed once more, from the first script on.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

from holdstill.callers import Call, File, Given
from holdstill.errors import UsageError

FILES = (
    File(
        "script.sh",
        "on the host with the guests, as /usr/lib/amanda/application/holdstill-JOB, with mode 0755",
    ),
    File("amanda.conf", "into the server's amanda.conf, after dumptypes of your own"),
    File("disklist", "into the server's disklist"),
)
SUPPORTED = """CONFIG YES
HOST YES
DISK YES
MESSAGE-LINE YES
MESSAGE-XML NO
EXECUTE-WHERE YES
TIMESTAMP YES"""
"What Amanda tells a script, and what it may answer with."
DO = {
    f"{when}-DLE-{what}": when.lower()
    for when in ("PRE", "POST")
    for what in ("AMCHECK", "ESTIMATE", "BACKUP")
}

CHECKING = "amcheck"
"The session of amcheck(8), which tells no timestamp."


def hook(given: Given) -> Call:
    """Do nothing in steps around several entries: a failure there does not keep Amanda from its dumps."""
    step, *options = given.words or [""]
    if step in DO:
        session = CHECKING if step.endswith("-AMCHECK") else _session(options)
        return Call(DO[step], given.job, session=session, form="amanda")
    return Call(says=SUPPORTED if step == "support" else "")


def _session(options: Sequence[str]) -> str:
    """Give when Amanda's run began: all that it does in this run has the same."""
    began = dict(pairwise(options)).get("--timestamp", "")  # not all that Amanda says comes in pairs
    if not re.fullmatch("[0-9]{8,14}", began):  # sudo hands over whatever Amanda's user says
        raise UsageError(f"Amanda's timestamp is 8 to 14 digits, not {began!r}.")
    return began
