"""The time that a job gives its backup, or its verification."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdstill.errors import HoldstillError
from holdstill.run.run import Run
from holdstill.units import Duration

TO_END = 180.0
"Seconds in which a step that is told to end must have ended: commands that may not be killed are waited for."


@contextmanager
def deadline(run: Run, hook: str, seconds: float | None, failed: type[HoldstillError]) -> Iterator[None]:
    """End what is done inside when its time is over: in order, or, where it does not end by that, with the process."""
    if seconds is None:
        yield
        return
    late = failed(f"It did not end within {Duration(seconds)}, and was ended.")
    with (
        run.plugins.overseer.watching(f"the job {run.info.job!r}", hook, seconds + TO_END),
        run.interruption.within(seconds, late),
    ):
        yield
