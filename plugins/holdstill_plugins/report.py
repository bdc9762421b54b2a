"""How a run ended, in words that people are told."""

from __future__ import annotations

import time
from typing import Literal

from holdstill.plugin import CallerVerdict, Outcome, printable

End = Literal["ok", "failed", "still-held", "recovered"]


def ends_of(outcome: Outcome) -> set[End]:
    """Give all that is true of a run's end; ``ok`` is true alone."""
    found: set[End] = set()
    if outcome.failures or outcome.caller_verdict is CallerVerdict.FAILED:
        found.add("failed")
    if outcome.still_held:
        found.add("still-held")
    if outcome.recovered:
        found.add("recovered")
    return found or {"ok"}


def title(outcome: Outcome, host: str) -> str:
    """Say the worst of it, in a few words."""
    ends = ends_of(outcome)
    states: dict[End, str] = {
        "still-held": "something is still held",
        "failed": "failed",
        "recovered": "recovered",
    }
    state = next((said for end, said in states.items() if end in ends), "done")
    return printable(f"holdstill: {outcome.job} on {host}: {state}")


def text(outcome: Outcome, host: str) -> str:
    """Say what failed, and what is still held with the commands that let go of it, last first."""
    began = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(outcome.started))
    lines = [f"Job {outcome.job} on {host}, run {outcome.run}, begun {began}."]
    lines += [f"Exit code {outcome.code}."] if outcome.code else []
    if outcome.recovered:
        lines += ["It did not end by itself: another process took over what it held."]
    if outcome.caller_verdict is CallerVerdict.FAILED:
        lines += ["Its caller says that the backup failed."]
    for failure in outcome.failures:
        lines += ["", f"{failure.phase}: {failure.sentence}"]
    if outcome.still_held:
        lines += ["", "Still held. By hand, in this order, as root:"]
    for held in outcome.still_held:
        lines += ["", held.what, f"  because: {held.why}", f"  {held.by_hand}"]
    if outcome.still_held:
        lines += [
            "",
            "Then, as the journal knows nothing of what is done by hand:",
            "",
            "  holdstill recover",
        ]
    return "\n".join(map(printable, lines)) + "\n"
