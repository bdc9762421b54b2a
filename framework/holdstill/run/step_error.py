"""The failure of a step, with its name."""

from __future__ import annotations

from typing import Any

from holdstill.errors import ExitCode, HoldstillError
from holdstill.words import Role, Step


class StepError(HoldstillError):
    """A step failed."""

    def __init__(self, step: Step[Any], error: HoldstillError) -> None:
        self.code = (
            ExitCode.SNAPSHOT if step.role is Role.SNAPSHOT and error.code is ExitCode.OS else error.code
        )
        super().__init__(f"{step.title}: {error}")
