"""NetBackup's client: its scripts before and after each backup of a policy.

A failure of «bpstart_notify» fails the backup. What its documentation leaves open is taken for the worst: that a script
must not print anything, and that «bpend_notify» is not called after a failure of the other. So our hook is silent, and
the scripts throw away what could be printed before it begins.
"""

from __future__ import annotations

from holdstill.callers import Call, File, Given
from holdstill.errors import UsageError

FILES = (
    File(
        "bpstart_notify", "on the client, as /usr/openv/netbackup/bin/bpstart_notify.POLICY, with mode 0755"
    ),
    File("bpend_notify", "on the client, as /usr/openv/netbackup/bin/bpend_notify.POLICY, with mode 0755"),
)
SILENT = True
LIMIT = 300.0
"Seconds for which NetBackup waits for a script, unless its BPSTART_TIMEOUT says otherwise."
GOOD = {"0", "1"}
"A backup's status: all of it, or all but files that could not be read."


def hook(given: Given) -> Call:
    """Take the policy's name for the job's, unless that is given, and for the session, with the stream's number."""
    program, *words = given.words or [""]
    step = program.partition(".")[0]
    match step, words:
        case "bpstart_notify", [_, policy, _, _, *_]:
            return Call("pre", given.job or policy, _session(given, policy), within=LIMIT)
        case "bpend_notify", [_, policy, _, _, status, *_]:
            verdict = "ok" if status in GOOD else "failed"
            return Call("post", given.job or policy, _session(given, policy), verdict=verdict)
    raise UsageError(
        "NetBackup calls bpstart_notify with a client, a policy, a schedule and its type, and bpend_notify with "
        f"a status, too; not {' '.join(given.words)!r}."
    )


def _session(given: Given, policy: str) -> str:
    """Two streams of one policy must not let go of what the other one reads."""
    stream = given.environment.get("STREAM_NUMBER", "0")
    return policy if stream == "0" else f"{policy}/{stream}"
