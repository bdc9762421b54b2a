"""``my-app-ends``: tell syslog how each run ended."""

from __future__ import annotations

import msgspec

from holdstill.plugin import Complaint, Host, Outcome, Run, Step, hookimpl, missing_tools

API_VERSION = 1
"The version of holdstill's plugin API that this was written for."
NAME = "my-app-ends"


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How it is told."""

    tag: str = "my-app-backup"
    "What syslog shows it under."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(host: Host) -> list[Complaint]:
    """Need the command, before anything is held."""
    return missing_tools(host, "logger")


@hookimpl
def holdstill_plan(step: Step[Options]) -> list[str]:
    """Say what would be done."""
    return [f"at the end: tell syslog, as {step.options.tag}"]


@hookimpl
def holdstill_finished(run: Run, outcome: Outcome) -> None:
    """Tell, if the job names this plugin. Nothing is promised: what was told stays so."""
    step: Step[Options] | None = run.around(NAME)
    if step:
        end = "well" if outcome.ok else f"with {outcome.code:d}: {outcome.sentence}"
        run.host.run("logger", "--tag", step.options.tag, f"{outcome.job} ended {end}", deadline=10)
