"""Look after what is held while somebody reads it: a snapshot that fills up gets more room."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import msgspec
import structlog

from holdstill.errors import HoldstillError, RunInterrupted
from holdstill.host import Host
from holdstill.journal.records import Promise
from holdstill.plugins.registry import Registry
from holdstill.run.run import Run

log = structlog.get_logger()

FIRST_LOOK = 2.0
"Seconds: what was made just now is well."
AFTER_A_FAILURE = 5.0
"Seconds until the next look at something that could not be looked after."
LONGEST_PAUSE = 86400.0
"Seconds; a thread cannot wait for as long as a plugin can say."
Pause = Annotated[float, msgspec.Meta(ge=0)]


@contextmanager
def tending(run: Run) -> Iterator[None]:
    """Look after what a run holds while its backup reads it."""
    if not is_tended(run.plugins, run.journal.open_promises):
        yield
        return
    over = threading.Event()
    tender = Tender(run.plugins, run.host, run.journal.open_promises)
    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(tender.tend, over.wait), name="tending")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def is_tended(plugins: Registry, promises: Sequence[Promise]) -> bool:
    """Whether there is anything to look after."""
    return any(plugins.implements(promise.plugin, "holdstill_tend") for promise in promises)


class Tender:
    """Looks after promises, each again when its plugin wants it."""

    def __init__(self, plugins: Registry, host: Host, promises: Sequence[Promise]) -> None:
        self._plugins = plugins
        self._host = host
        tended = [promise for promise in promises if plugins.implements(promise.plugin, "holdstill_tend")]
        self._promises = {promise.number: promise for promise in tended}
        self._due = dict.fromkeys(self._promises, time.monotonic() + FIRST_LOOK)
        self._said: dict[int, str] = {}

    def tend(self, over_within: Callable[[float], bool]) -> None:
        """Go on until ``over_within``, which waits for that many seconds at most, says that it is over.

        There is nothing to go on with if the plugins that have made the promises are not there any more.
        """
        try:
            while self._due and not over_within(max(0.0, min(self._due.values()) - time.monotonic())):
                for number, due in self._due.items():
                    if due <= time.monotonic():
                        self._due[number] = time.monotonic() + self._next(self._promises[number])
        except RunInterrupted:
            log.debug("no longer looked after")

    def _next(self, promise: Promise) -> float:
        """Look after one; a failure is a warning, told once until it is another."""
        try:
            pause: float = self._plugins.asked(
                promise.plugin, "holdstill_tend", Pause, facts=promise.facts, host=self._host
            )
            return min(pause, LONGEST_PAUSE)
        except HoldstillError as error:
            if self._said.get(promise.number) != str(error):
                log.warning("look after this", what=promise.what, guest=promise.guest, why=str(error))
            self._said[promise.number] = str(error)
            return AFTER_A_FAILURE
