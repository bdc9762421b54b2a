"""Wait for commands that a run left at work, before looking for what they do."""

from __future__ import annotations

import structlog

from holdstill.run.run import Run

log = structlog.get_logger()

PAUSES = (0.02, 0.05, 0.1, 0.2, 0.5, *[1.0] * 30)
"Seconds; together about as long as a command of LVM's may take."


def commands_left(run: Run, session: int) -> list[int]:
    """Give the process ids of the run's commands that are still at work after some time, none as a rule.

    ``session`` (setsid(2)) is that of the process that ran it.
    """
    for pause in PAUSES:
        if not (left := run.host.still_running(run.info.id, session)):
            return []
        if not run.interruption.left:
            break
        log.info("waiting for a command that outlived its run", pids=left)
        run.host.pause(pause)
    return run.host.still_running(run.info.id, session)
