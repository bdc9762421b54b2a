"""Check the result, nothing being held any more."""

from __future__ import annotations

import structlog

from holdstill.errors import HoldstillError, PluginBugError, VerifyError
from holdstill.run.run import Run

log = structlog.get_logger()


def verify(run: Run) -> None:
    """Let each verifying step check the backup; raise VerifyError at the first that finds a fault."""
    for step in run.job.verify:
        try:
            run.call(step, "holdstill_verify_backup", backup=run.outcome.backup, progress=run.progress)
        except (PluginBugError, VerifyError):
            raise
        except HoldstillError as error:
            raise VerifyError(f"The verification ({step.plugin}) failed: {error}") from error
        log.info("backup verified", step=step.plugin)
