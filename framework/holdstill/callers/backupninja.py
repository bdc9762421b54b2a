"""backupninja: one of its actions holds the guests, has backupninja carry out others, and lets go.

backupninja goes on with the next action whatever became of the last one, and is told of a failure by what an action
prints, not by its exit code. So what must not run without a hold is not left to it.
"""

from __future__ import annotations

from holdstill.callers import File

FILES = (
    File("guests.sh", "as an action, such as /etc/backup.d/50-JOB.sh, with mode 0600"),
    File(
        "guests.tar",
        "as one of the actions while the guests are held, such as /etc/backup.d/JOB/10-guests.tar, with mode 0600",
    ),
)
