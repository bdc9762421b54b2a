"""BackupPC on the host with the guests: it calls ``pre`` and ``post`` by sudo, and reads with a tar of root's.

Its rules for sudo let its user read what is held; those to hold and let go are for any caller.
"""

from __future__ import annotations

from holdstill.callers import File

FILES = (
    File("host.pl", "as /etc/backuppc/JOB.pl, for the host JOB of BackupPC's"),
    File("sudoers", "as /etc/sudoers.d/backuppc-JOB, with mode 0440"),
)
