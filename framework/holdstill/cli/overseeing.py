"""A hook of a plugin that does not end: give the process up, and have another one let go of what it holds."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import traceback
from functools import partial

import structlog

from holdstill.cli.app import fail
from holdstill.cli.background import start_in_background
from holdstill.errors import ExitCode, HoldstillError
from holdstill.host.service_manager import ALIVE, notify, watchdog_interval
from holdstill.places import Places
from holdstill.plugins.overseer import AtWork, Overseer

log = structlog.get_logger()

SELDOM = 3600.0
"Seconds between two looks that nobody asks for: the overseer wakes by itself when something begins, or is due."


def oversee(overseer: Overseer, places: Places, *, recovers: bool) -> None:
    """Watch over this process from now on, and tell systemd, if it asks, that it is well.

    ``recovers``: nobody else comes to let go of what it holds, so have somebody do that if it is given up.
    """
    interval = watchdog_interval()
    alive = partial(notify, ALIVE) if interval else _nothing
    watch = partial(
        overseer.watch,
        partial(_give_up, places, recovers=recovers),
        alive,
        interval / 2 if interval else SELDOM,
    )
    threading.Thread(
        target=contextvars.copy_context().run, args=(watch,), name="overseer", daemon=True
    ).start()


def _nothing() -> None:
    """Say nothing: nobody asks."""


def _give_up(places: Places, late: AtWork, *, recovers: bool) -> None:
    """End now: what is held was promised, and whoever lets go of it waits for the LVM commands that we leave."""
    try:
        _tell_why(places, late, recovers=recovers)
    finally:  # whatever fails here: nobody watches any more, and this process would hang for ever
        os._exit(ExitCode.BUG)


def _tell_why(places: Places, late: AtWork, *, recovers: bool) -> None:
    stack = sys._current_frames().get(late.thread)
    log.error(
        "a hook does not end",
        who=late.who,
        hook=late.hook,
        seconds=late.limit,
        stack="".join(traceback.format_stack(stack)) if stack else "",
    )
    rest = "«holdstill recover» lets go of what is held."
    if recovers:
        rest = _have_somebody_recover(places)
    fail(
        f"{late.who}: {late.hook} did not end within {late.limit:g} s, so this process ends itself. {rest} "
        "The log tells where it hangs.",
        ExitCode.BUG,
    )


def _have_somebody_recover(places: Places) -> str:
    try:
        start_in_background(places, "recover", "recover", f"--after={os.getpid()}", "--log=syslog")
    except HoldstillError as error:
        return f"What it holds is still held ({error}): call «holdstill recover»."
    return "What it held is let go of in the background: «holdstill held --wait»."
