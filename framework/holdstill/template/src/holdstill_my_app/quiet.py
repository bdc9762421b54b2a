"""``my-app``: hold my-app still while a guest's snapshot is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdstill.plugin import Complaint, Facts, Hold, Host, QuiesceOptions, Step, hookimpl, missing_tools

API_VERSION = 1
"The version of holdstill's plugin API that this was written for."
GUARD = ("sh", "-c", 'echo ready; cat >/dev/null; exec "$@"', "guard")
"Beside us: says that it is there, and does as it is told when its input ends, by whatever end of ours."


class Options(QuiesceOptions, frozen=True, kw_only=True):
    """Which my-app it is."""

    address: str = "localhost"
    "Where it is, as ``my-app-ctl`` takes it."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(host: Host) -> list[Complaint]:
    """Need the command, before anything is held."""
    return missing_tools(host, "my-app-ctl")


@hookimpl
@contextmanager
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> Iterator[None]:
    """Pause it, and let it go on when the snapshot is made. Twice is harmless: the guard resumes it, too."""
    options = step.options
    resume = _resume(options.address)
    promised = hold.promise(f"my-app at {options.address}, paused", by_hand=resume, address=options.address)
    with host.companion(*GUARD, *resume, at_most=options.at_most):
        try:
            host.run("my-app-ctl", "pause", options.address, deadline=options.within)
            yield
        finally:
            host.run(*resume, deadline=30)
    hold.undone(promised)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Let go of what a dead run paused, or was about to: my-app that is not paused stays as it is."""
    host.run(*_resume(str(facts["address"])), deadline=30)


def _resume(address: str) -> tuple[str, ...]:
    return ("my-app-ctl", "resume", address)
