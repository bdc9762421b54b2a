"""``xen-pause``: a whole Xen guest, by ``xl pause``.

It runs nothing while the snapshot is made, and knows nothing of it: what it has not written yet is not in the snapshot,
which is as after a power cut. So this is for guests with several disks, or whose disks are held with those of others,
where all must be of one moment. To have the guest write first, use ``ssh-fsfreeze``. If holdstill dies, or takes longer
than ``at-most``, a process beside it has the guest go on; and it is promised: if that process was killed as well, the
next run or «holdstill recover» does so. A guest that somebody else has paused is refused.

«xl pause» and «xl unpause» succeed also where Xen refuses them, and newer ones count: so «xl list» is asked what they
have done, and a guest that is not paused is not unpaused, as that could cancel a pause of somebody else's to come.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from holdstill.plugin import (
    Complaint,
    Facts,
    Hold,
    HoldstillError,
    Host,
    QuiesceOptions,
    Step,
    Thaw,
    UnavailableError,
    frozen,
    hookimpl,
    missing_tools,
)

GONE = "is an invalid domain identifier"
"What xl says of a guest that does not run."
LOOK = """is_paused() {
    row=$(xl list "$1") || exit
    case $row in *" "[r-][b-]p???" "*) ;; *) return 1 ;; esac
}
"""
"Its name, id, memory, processors, state and time are in a row."
PAUSE = f"""{LOOK}xl pause "$1" || exit
is_paused "$1" || {{ echo "Xen's domain $1 goes on: «xl pause» did nothing" >&2; exit 1; }}"""
UNPAUSE = f"""{LOOK}is_paused "$1" || exit 0
xl unpause "$1" || exit
! is_paused "$1" || {{ echo "Xen's domain $1 is paused still: «xl unpause» did nothing" >&2; exit 1; }}"""


class Options(QuiesceOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which guest."""

    domain: str
    "Its name or id."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need xl, and guests that run."""
    return missing_tools(host, "xl") or [complaint for step in steps for complaint in _complaints(step, host)]


def _complaints(step: Step[Options], host: Host) -> list[Complaint]:
    try:
        _need_unpaused(step, host)
    except HoldstillError as error:
        return [Complaint(str(error), error.code)]
    return []


def _need_unpaused(step: Step[Options], host: Host) -> None:
    """Raise UnavailableError if the guest is paused: its name, id, memory, processors and state are in a row."""
    rows = host.ask("xl", "list", step.options.domain).out.splitlines()
    state = rows[-1].split()[-2] if rows else ""
    if "p" in state:
        raise UnavailableError(
            f"Xen's domain {step.options.domain} is paused already: if nobody needs that, «xl unpause "
            f"{step.options.domain}»."
        )


@hookimpl
@contextmanager
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> Iterator[None]:
    """Keep the guest paused while the snapshot is made."""
    _need_unpaused(step, host)
    domain = step.options.domain
    thaw = Thaw(
        what=f"guest {step.guest} paused",
        argv=("sh", "-c", UNPAUSE, "xl-unpause", domain),
        nothing=GONE,
        refusal=GONE,
        by_hand=("xl", "unpause", domain),
    )
    with frozen(("sh", "-c", PAUSE, "xl-pause", domain), thaw, step.options, hold, host):
        yield


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Let go of what a dead run paused."""
    Thaw.of(facts).run(host)
