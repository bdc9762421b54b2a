"""``holdstill tend RUN``: started by ``pre``, in the background; not for people."""

from __future__ import annotations

import time

import click
import structlog

from holdstill.cli.background import start_in_background
from holdstill.cli.common import site
from holdstill.errors import HoldstillError
from holdstill.host.detached import LIMIT
from holdstill.host.service_manager import READY, notify
from holdstill.journal.shelf import Held, State
from holdstill.places import Places
from holdstill.run.start import Site
from holdstill.run.tend import Tender

log = structlog.get_logger()

GLANCE = 1.0
"Seconds between two looks whether a hold has been let go of: of its journal's end there is no event."


@click.command("tend", hidden=True)
@click.argument("run")
@click.pass_obj
def command(places: Places, run: str) -> int:
    """Look after what the run of that id holds, until it is let go of."""
    here = site(places, log_to="syslog")
    notify(READY)
    _tend_until_released(here, run)
    return 0


def start_tending(site: Site, run: str) -> None:
    """Have it done in the background. What is held does not depend on it, so a failure is only a warning."""
    try:
        within = site.interruption.cut(LIMIT)
        start_in_background(site.places, f"tend-{run}", "tend", run, within=within)
    except HoldstillError as error:
        log.warning("nobody looks after what is held", why=str(error))


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
    found = (held for held in site.holds() if held.run == run and held.state is State.HANDED_OVER)
    return next(found, None)
