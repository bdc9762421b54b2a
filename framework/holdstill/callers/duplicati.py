"""Duplicati: a script before and after each of its operations, which tells in its environment what it is called for.

It reads exit codes of 1 to 5 in its own way, some as "go on"; all others refuse the backup. It calls its last script
also if the first one failed, without an operation then, and for restores, lists and the like.
"""

from __future__ import annotations

import re

from holdstill.callers import Call, File, Given

FILES = (
    File("script.sh", "on the host with the guests, as /usr/local/sbin/duplicati-JOB, with mode 0755"),
    File("options.txt", "into the backup's advanced options, as text"),
)
EVENTS = {"BEFORE": "pre", "POST-BACKUP": "post", "AFTER": "post"}
VERDICTS = {"Success": "ok", "Warning": "ok", "Error": "failed", "Fatal": "failed"}
UNITS = {"s": 1, "m": 60, "h": 3600, "D": 86400, "W": 7 * 86400, "M": 30 * 86400, "Y": 365 * 86400}
"Seconds in each of Duplicati's units of time."
LIMIT = "60s"
"For how long it waits for a script, unless its options say otherwise."


def hook(given: Given) -> Call:
    """Do nothing around what is no backup: it would hold the guests, or let go of what a backup reads."""
    said = {name.removeprefix("DUPLICATI__"): value for name, value in given.environment.items()}
    if said.get("OPERATIONNAME") != "Backup":
        return Call()
    return Call(
        EVENTS.get(said.get("EVENTNAME", ""), ""),
        given.job,
        session=said.get("backup_name") or "default",
        verdict=VERDICTS.get(said.get("PARSED_RESULT", ""), "unknown"),
        within=_seconds(said.get("run_script_timeout") or LIMIT),
    )


def _seconds(written: str) -> float | None:
    """Read a time such as «1m30s»; none at all is no limit."""
    if written.isdecimal():
        return float(written) or None
    parts = re.findall(r"([0-9]+)\s*([smhDWMY])", written)
    return float(sum(int(number) * UNITS[unit] for number, unit in parts)) or None
