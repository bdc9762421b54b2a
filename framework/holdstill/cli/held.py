"""``holdstill held``: what is held, and how to let go of it by hand.

Reads the journals and nothing else, neither the configuration nor a plugin: it must work when those do not.
"""

from __future__ import annotations

import math
import shlex
import time
from typing import NamedTuple

import click

from holdstill.cli.app import fail
from holdstill.cli.output import say, tell
from holdstill.errors import ExitCode
from holdstill.journal.records import Header, last_first
from holdstill.journal.shelf import Held, State, boot_id, holds
from holdstill.journal.story import Story
from holdstill.journal.verdicts import Verdict, verdicts
from holdstill.places import Places
from holdstill.run.lock import is_recovering
from holdstill.text import printable
from holdstill.words import Stray

PAUSES = (0.02, 0.05, 0.1, 0.2)
"Seconds between the first looks whether a hold has been let go of; then :data:`PAUSE`. Of that there is no event."
PAUSE = 0.5


def _seconds(_ctx: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    """Read a time; empty text is for ever."""
    from holdstill.units import Duration

    try:
        return None if value is None else Duration.parse(value) if value else math.inf
    except ValueError as error:
        raise click.BadParameter(f"{error} («--wait=5m», or «--wait» as the last word)") from None


@click.command("held")
@click.argument("job", required=False)
@click.option("--session", metavar="KEY", help="Only what is held for that session.")
@click.option(
    "--wait",
    "within",
    is_flag=False,
    flag_value="",
    callback=_seconds,
    metavar="[TIME]",
    help="Wait until nobody works on it any more, for that time at most; then 81 if it is held.",
)
@click.option(
    "--strays", is_flag=True, help="Also look for what runs made that no journal knows; uses the plugins."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_obj
def command(
    places: Places, job: str | None, session: str | None, within: float | None, strays: bool, as_json: bool
) -> int:
    """List what is held, of JOB or of all jobs, with the commands that let go of it by hand, in order.

    Exits with 81 if something is held that nobody works on or waits for: run «holdstill recover». With --wait, also
    with 81 if somebody still works on it when the time is over, and with 79 if in the background it could not be
    held, or was let go of and had not held to the end of the backup that read it.
    """
    wanted = Wanted(job, session)
    found = wanted.of(places) if within is None else _waited_for(places, wanted, within)
    astray = _strays(places) if strays else []
    _tell(found, astray, wanted, as_json=as_json)
    unfinished = {State.ABANDONED} if within is None else {State.ABANDONED, State.LIVING}
    if astray or any(held.state in unfinished for held in found):
        return ExitCode.STILL_HELD
    spoiled = [] if within is None else [one for _, one in verdicts(places.state) if wanted.fits(one)]
    return fail(spoiled[-1].sentence, ExitCode.BACKUP_FAILED) if spoiled else ExitCode.OK


class Wanted(NamedTuple):
    """Whose holds are asked for; ``None`` stands for everybody's."""

    job: str | None
    session: str | None

    def fits(self, one: Header | Verdict | None) -> bool:
        """Whether a hold, or what became of one, is asked for; one of which nobody knows whose it is, always."""
        return one is None or (self.job in {None, one.job} and self.session in {None, one.session})

    @property
    def not_there(self) -> str:
        """Say that nothing of it is held, and of what: a name may be misspelt."""
        job = f" of the job {self.job!r}" if self.job else ""
        return f"Nothing{job} is held" + (f" for the session {self.session!r}." if self.session else ".")

    def of(self, places: Places) -> list[Held]:
        """Give what is held now."""
        return [held for held in holds(places.state, boot_id()) if self.fits(held.story.header)]


def _waited_for(places: Places, wanted: Wanted, within: float) -> list[Held]:
    """Give what is held when nobody works on it any more, or the time is over."""
    ends, pauses = time.monotonic() + within, iter(PAUSES)
    while True:
        found = wanted.of(places)
        if not _is_seen_to(places, found):
            again = wanted.of(places)
            if not any(held.state is State.LIVING for held in again):
                return again
        left = ends - time.monotonic()
        if left <= 0:
            return found
        time.sleep(min(next(pauses, PAUSE), left))


def _is_seen_to(places: Places, found: list[Held]) -> bool:
    """Tell whether somebody works on what is held, or will: a process that gives itself up has «recover» begin first.

    If that is at its end by now, what was seen before may be over.
    """
    states = {held.state for held in found}
    return State.LIVING in states or (State.ABANDONED in states and is_recovering(places.locks))


def _strays(places: Places) -> list[Stray]:
    """Find strays; say of what could not be looked for."""
    from holdstill.cli.common import site
    from holdstill.run.strays import strays

    found, failures = strays(site(places, log_to="syslog"))
    for failure in failures:
        tell(f"holdstill: Not all strays could be looked for: {failure.sentence}")
    return found


def _tell(found: list[Held], astray: list[Stray], wanted: Wanted, *, as_json: bool) -> None:
    if as_json:
        from holdstill.cli.output import print_json

        print_json([*map(_record, found), *([_stray_record(astray)] if astray else [])])
    else:
        paragraphs = [*map(_paragraph, found), *([_stray_paragraph(astray)] if astray else [])]
        say("\n\n".join(paragraphs) or wanted.not_there)


def _paragraph(held: Held) -> str:
    header = held.story.header
    lines = [f"Run {held.run}" + (f" of job {header.job}, session {header.session}" if header else "")]
    lines += [f"  {_state(held)}"]
    lines += [f"  The journal {held.path} is damaged: {held.story.damage}."] if held.story.damage else []
    lines += [f"  kept open, when last looked at, by {printable(who)}" for who in held.story.kept_open]
    for promise in last_first(held.story.open):
        lines.append(f"  {printable(promise.what)}")
        lines.append(f"      {printable(promise.by_hand)}")
    if held.state is State.ABANDONED and held.story.open:
        lines.append("  then, as the journal knows nothing of what is done by hand:\n      holdstill recover")
    return "\n".join(lines)


def _stray_paragraph(strays: list[Stray]) -> str:
    lines = [
        "Strays: made by runs of holdstill, but no journal of this host knows of them.",
        "  If no other host that shares this storage needs them, by hand, in this order:",
    ]
    for stray in strays:
        lines += [f"  {printable(stray.what)}" + (f", run {stray.run}" if stray.run else "")]
        lines += [f"      {printable(stray.by_hand)}"]
    return "\n".join(lines)


def _stray_record(strays: list[Stray]) -> dict[str, object]:
    holds = [{"what": stray.what, "by_hand": stray.by_hand, "run": stray.run} for stray in strays]
    return {"run": None, "job": None, "session": None, "state": "stray", "holds": holds}


def _state(held: Held) -> str:
    header, lease = held.story.header, held.story.handed_over
    if header is None and not held.story.open:
        return "It does not tell what it holds: «holdstill recover», then «holdstill held --strays»."
    began = _clock(header.started) if header else "a time that is not known"
    if held.state is State.LIVING:
        return f"living, since {began}: a process works on it; let it."
    if held.state is State.HANDED_OVER and lease and header:
        ends = _clock(lease.lease_ends)
        return f"held for its caller since {began}; «{_post(header)}» lets go, or the lease's end at {ends}."
    return (
        f"abandoned: it began at {began}, and {_why_abandoned(held.story)}.\n"
        "  «holdstill recover» lets go; by hand, in this order:"
    )


def _why_abandoned(story: Story) -> str:
    header, lease = story.header, story.handed_over
    if header and header.boot != boot_id():
        return "the host has booted since"
    if story.kept_open or (lease and not lease.lease_ends):
        return "letting go did not come to its end"
    if lease:
        return f"its lease ended at {_clock(lease.lease_ends)} with no «post»"
    return f"its process {header.pid} is gone" if header else "nobody works on it"


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _post(header: Header) -> str:
    session = [] if header.session == "default" else ["--session", header.session]
    return printable(shlex.join(["holdstill", "post", header.job, *session]))


def _record(held: Held) -> dict[str, object]:
    header, lease = held.story.header, held.story.handed_over
    return {
        "run": held.run,
        "job": header.job if header else None,
        "session": header.session if header else None,
        "state": str(held.state),
        "started": header.started if header else None,
        "lease_ends": lease.lease_ends if lease else None,
        "journal": str(held.path),
        "damage": held.story.damage,
        "kept_open_by": held.story.kept_open,
        "holds": [
            {"what": promise.what, "by_hand": promise.by_hand} for promise in last_first(held.story.open)
        ],
    }
