"""``holdstill tend RUN``: started by ``pre``, in the background; not for people."""

from __future__ import annotations

import subprocess
import sys
import time

import click

from holdstill.cli.common import site
from holdstill.host.command import ENVIRONMENT
from holdstill.journal.shelf import Held, State, holds
from holdstill.places import Places
from holdstill.run.start import Site
from holdstill.run.tend import Tender

GLANCE = 1.0
"Seconds between two looks whether a hold has been let go of: of its journal's end there is no event."


@click.command("tend", hidden=True)
@click.argument("run")
@click.pass_obj
def command(places: Places, run: str) -> int:
    """Look after what the run of that id holds, until it is let go of."""
    _tend_until_released(site(places, log_to="syslog"), run)
    return 0


def start_tending(places: Places, run: str) -> None:
    """Start it, so that our caller need not wait: in a session of its own, with none of our caller's descriptors."""
    options = [f"--{name}={path}" for name, path in places._asdict().items()]
    subprocess.Popen(
        [sys.executable, "-m", "holdstill", *options, "tend", run],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=ENVIRONMENT,
        start_new_session=True,
    )


def _tend_until_released(site: Site, run: str) -> None:
    """Look after what ``pre`` left for somebody else's backup, for as long as it is left."""
    if held := _handed_over(site, run):
        site.host.started_for(run)
        Tender(site.plugins, site.host, held.story.open).tend(
            lambda pause: _released_within(site, run, pause)
        )


def _released_within(site: Site, run: str, seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while _handed_over(site, run):
        if (left := ends - time.monotonic()) <= 0:
            return False
        site.host.pause(min(left, GLANCE))
    return True


def _handed_over(site: Site, run: str) -> Held | None:
    found = holds(site.places.state, site.boot, site.clock())
    return next((held for held in found if held.run == run and held.state is State.HANDED_OVER), None)
