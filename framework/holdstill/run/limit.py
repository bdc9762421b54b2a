"""The time that a caller gives ``pre``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdstill.errors import UnavailableError
from holdstill.run.start import Site
from holdstill.units import Duration

KEPT_BACK = 60.0
"Seconds, at most, of a caller's limit that are kept back for letting go; of a short one a quarter is."


@contextmanager
def limited(site: Site, job: str, within: float | None) -> Iterator[None]:
    """Be done inside, come what may, before a caller that gives us so many seconds loses its patience.

    When the last quarter begins, or the last minute, holding and opening is ended; half of that is for letting go.
    Then, should a hook or the kernel keep us all the same, the process ends, and another one has time to take over.
    """
    if within is None:
        yield
        return
    kept_back = min(within / 4, KEPT_BACK)
    late = UnavailableError(
        f"It was not done within {Duration(within - kept_back)}, and was ended: of the {Duration(within)} that the "
        "caller gives, the rest is for letting go."
    )
    with (
        site.plugins.overseer.watching(f"the job {job!r}", "pre", within - kept_back / 4),
        site.interruption.within(within - kept_back, late, letting_go=within - kept_back / 2),
    ):
        yield
