"""rsnapshot: it calls ``pre`` and ``post`` around its lowest interval, or around ``sync``.

It calls no "post" if "pre" failed, nor if it is stopped.
"""

from __future__ import annotations

from holdstill.callers import File

FILES = (
    File("rsnapshot.conf", "into /etc/rsnapshot.conf; words are parted by tabs"),
    File("nightly.sh", "a script for cron, such as /usr/local/sbin/rsnapshot-nightly, with mode 0755"),
)
