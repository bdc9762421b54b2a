"""Check the result, nothing being held any more."""

from __future__ import annotations

from typing import Any

import structlog

from holdstill.errors import HoldstillError, PluginBugError, VerifyError
from holdstill.run.deadline import deadline
from holdstill.run.run import Run
from holdstill.words import Step

log = structlog.get_logger()

VERIFY = "holdstill_verify_backup"


def verify(run: Run) -> None:
    """Let each verifying step check the backup; raise VerifyError at the first that finds a fault."""
    with deadline(run, VERIFY, run.job.verify_within, VerifyError):
        for step in run.job.verify:
            _verify(run, step)


def _verify(run: Run, step: Step[Any]) -> None:
    try:
        run.call(step, VERIFY, backup=run.outcome.backup, progress=run.progress)
    except (PluginBugError, VerifyError):
        raise
    except HoldstillError as error:
        raise VerifyError(f"The verification ({step.plugin}) failed: {error}") from error
    log.info("backup verified", step=step.plugin)
