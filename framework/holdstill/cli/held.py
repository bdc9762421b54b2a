"""``holdstill held``: what is held, and how to let go of it by hand.

Reads the journals and nothing else, neither the configuration nor a plugin: it must work when those do not.
"""

from __future__ import annotations

import time

import click

from holdstill.cli.output import say
from holdstill.errors import ExitCode
from holdstill.journal.shelf import Held, State, boot_id, holds
from holdstill.places import Places
from holdstill.text import printable


@click.command("held")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
@click.pass_obj
def command(places: Places, as_json: bool) -> int:
    """List what is held, with the commands that let go of it by hand, in order.

    Exits with 81 if something is held that nobody works on or waits for: run «holdstill recover».
    """
    found = list(holds(places.state, boot_id()))
    if as_json:
        from holdstill.cli.output import print_json

        print_json([_record(held) for held in found])
    else:
        say("\n\n".join(map(_paragraph, found)) or "Nothing is held.")
    return ExitCode.STILL_HELD if any(held.state is State.ABANDONED for held in found) else ExitCode.OK


def _paragraph(held: Held) -> str:
    header = held.story.header
    lines = [f"Run {held.run}" + (f" of job {header.job}, session {header.session}" if header else "")]
    lines += [f"  {_state(held)}"]
    lines += [f"  The journal {held.path} is damaged: {held.story.damage}."] if held.story.damage else []
    for promise in reversed(held.story.open):
        lines.append(f"  {printable(promise.what)}")
        lines.append(f"      {printable(promise.by_hand)}")
    if held.state is State.ABANDONED:
        lines.append("  then, as the journal knows nothing of what is done by hand:\n      holdstill recover")
    return "\n".join(lines)


def _state(held: Held) -> str:
    header, lease = held.story.header, held.story.handed_over
    began = f"since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(header.started))}" if header else ""
    if held.state is State.LIVING:
        return f"living, {began}: a process works on it; let it."
    if held.state is State.HANDED_OVER and lease and header:
        ends = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(lease.lease_ends))
        return f"held for its caller {began}; «holdstill post {header.job}» lets go, or the lease's end at {ends}."
    return f"abandoned, {began}: «holdstill recover» lets go; by hand, in this order:"


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
        "holds": [
            {"what": promise.what, "by_hand": promise.by_hand} for promise in reversed(held.story.open)
        ],
    }
