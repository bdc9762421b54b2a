"""burp: its client calls a script of ours before and after a backup, on the host with the guests.

The script's first word says which, and the second one, after a backup, how it went. burp calls it after a backup that
failed, too, but not if the client itself is ended by a signal; SIGPIPE is one, if its server goes away.
"""

from __future__ import annotations

from holdstill.callers import Call, File, Given
from holdstill.errors import UsageError

FILES = (
    File("script.sh", "on the host with the guests, as /etc/burp/holdstill-JOB, with mode 0755"),
    File(
        "burp.conf",
        "into /etc/burp/guests.conf, the configuration of a client that backs up the guests alone",
    ),
    File("cron", "as /etc/cron.d/burp-guests"),
)
VERDICTS = {"0": "ok", "1": "failed"}


def hook(given: Given) -> Call:
    """Look at the first two words; burp says nothing yet with the three after them."""
    when, status = [*given.words, "", ""][:2]
    if when == "pre":
        return Call("pre", given.job)
    if when == "post" and status in VERDICTS:
        return Call("post", given.job, verdict=VERDICTS[status])
    raise UsageError(
        f"burp calls with 'pre', 'post 0' or 'post 1' and more, not with {f'{when} {status}'!r}."
    )
