"""Which plugin is at work in which hook, and whether it is for too long.

A hook cannot be ended from outside: a thread of Python's ends by itself or with its process. So past its limit the
process ends. That harms nothing, as every change was promised first; a guest that is quiet goes on by itself.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Generic, NamedTuple, TypeVar

from holdstill.hookspecs import PHASE_HOOKS

T = TypeVar("T")

LIMITS: dict[str, float] = {
    "holdstill_options": 30,
    "holdstill_places": 60,
    "holdstill_quiesce": 60,
    "holdstill_freeze": 60,
    "holdstill_still": 300,
    "holdstill_finished": 300,
    "holdstill_open": 1800,
    "holdstill_make_backup": float("inf"),
    "holdstill_verify_backup": float("inf"),
}
"""Seconds that a hook may take, and those of a context each time it is entered or left. The backup's own limits are
the job's (``backup-within``, ``verify-within``). A phase's is how long it may last with no step at work in it."""
LIMIT = 600.0
"Seconds that all other hooks may take: longer than the commands that they wait for."


class AtWork(NamedTuple):
    """A hook that is being called."""

    who: str
    hook: str
    limit: float
    began: float
    thread: int

    @property
    def is_phase(self) -> bool:
        """Whether it is a phase, in which step hooks are called: those have limits of their own."""
        return self.hook in PHASE_HOOKS


class Overseer:
    """Knows who is at work."""

    def __init__(self, limits: Mapping[str, float] | None = None) -> None:
        self._limits = LIMITS if limits is None else limits
        self._at_work: dict[int, AtWork] = {}
        self._numbers = itertools.count()
        self._last_end = 0.0
        self._changed = threading.Condition()

    @contextmanager
    def watching(
        self, who: str, hook: str, limit: float | None = None, *, longer: float = 0
    ) -> Iterator[None]:
        """Know, inside, that somebody is at work; ``limit`` is in seconds, if it is not that of the hook, or longer."""
        if limit is None:
            limit = self._limits.get(hook, LIMIT) + longer
        with self._changed:
            number = next(self._numbers)
            self._at_work[number] = AtWork(who, hook, limit, time.monotonic(), threading.get_ident())
            self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                del self._at_work[number]
                self._last_end = time.monotonic()

    def watch(self, give_up: Callable[[AtWork], None], alive: Callable[[], None], every: float) -> None:
        """Say every so many seconds that all is well, until somebody is at work for too long; then give up."""
        with self._changed:
            while not (late := self._late()):
                alive()
                self._changed.wait(max(0.0, min(every, self._next() - time.monotonic())))
        give_up(late)

    def _late(self) -> AtWork | None:
        now = time.monotonic()
        return next((one for one in self._at_work.values() if self._due(one) <= now), None)

    def _next(self) -> float:
        return min(map(self._due, self._at_work.values()), default=float("inf"))

    def _due(self, one: AtWork) -> float:
        if not one.is_phase:
            return one.began + one.limit
        if any(not other.is_phase for other in self._at_work.values()):
            return float("inf")
        return max(one.began, self._last_end) + one.limit


class Bounded(Generic[T]):
    """A plugin's context; to enter it, and to leave it, takes a limited time."""

    def __init__(
        self, manager: AbstractContextManager[T], watching: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._manager = manager
        self._watching = watching

    def __enter__(self) -> T:
        with self._watching():
            return self._manager.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        with self._watching():
            return self._manager.__exit__(kind, error, trace)
