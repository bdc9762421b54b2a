"""``my-app``: hold my-app still while a guest's snapshot is made."""

from __future__ import annotations

from contextlib import AbstractContextManager

from holdstill.plugin import (
    Complaint,
    Facts,
    Hold,
    Host,
    QuiesceOptions,
    Step,
    Thaw,
    frozen,
    hookimpl,
    missing_tools,
)

API_VERSION = 1
"The version of holdstill's plugin API that this was written for."


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
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> AbstractContextManager[None]:
    """Pause it, and let it go on when the snapshot is made: promised, and watched over."""
    address = step.options.address
    resume = Thaw(f"my-app at {address}, paused", ("my-app-ctl", "resume", address))
    return frozen(("my-app-ctl", "pause", address), resume, step.options, hold, host)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Let go of what a dead run paused, or was about to: my-app that is not paused stays as it is."""
    Thaw.of(facts).run(host)
