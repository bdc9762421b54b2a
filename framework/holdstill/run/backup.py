"""Run the job's own backup on what is exposed."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from holdstill.errors import BackupError, HoldstillError, PluginBugError
from holdstill.run.deadline import deadline
from holdstill.run.run import Run

log = structlog.get_logger()

MAKE = "holdstill_make_backup"


def backup(run: Run) -> None:
    """Make the backup; whatever went wrong in it, the *backup* failed."""
    step = run.job.backup
    if step is None:
        return
    run.host.started_for("")  # a backup that outlives us is found by what it keeps open, not waited for
    try:
        with deadline(run, MAKE, run.job.backup_within, BackupError):
            made = run.call(step, MAKE, guests=run.exposed, hold=run.hold(step.plugin), progress=run.progress)
    except (PluginBugError, BackupError):
        raise
    except HoldstillError as error:
        raise BackupError(f"The backup ({step.plugin}) failed: {error}") from error
    finally:
        run.host.started_for(run.info.id)
    if not isinstance(made, Mapping | None):
        raise PluginBugError(
            f"The plugin {step.plugin!r} answered holdstill_make_backup with {made!r}, not with facts."
        )
    run.outcome.backup = dict(made or {})
    facts = {key: value for key, value in run.outcome.backup.items() if key not in {"event", "step"}}
    log.info("backup made", step=step.plugin, **facts)
