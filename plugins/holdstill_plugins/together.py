"""One piece of work for several threads: who comes while one is being done waits, and is taken along by the next."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from threading import Condition
from typing import Generic, TypeVar

W = TypeVar("W")
R = TypeVar("R")


class Together(Generic[W, R]):
    """Collects what threads want while another piece of work is being done; nobody waits for more to come."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._busy = False
        self._waiting: dict[Hashable, list[tuple[W, Future[R]]]] = {}

    def done(self, wanted: W, work: Callable[[Sequence[W]], R], *, of: Hashable) -> R:
        """Give what ``work`` gave for ``wanted`` and all that was waiting by then and is ``of`` the same kind.

        Raises what it raised.
        """
        mine: Future[R] = Future()
        with self._changed:
            self._waiting.setdefault(of, []).append((wanted, mine))
            self._changed.wait_for(lambda: mine.done() or not self._busy)
            if mine.done():
                return mine.result()
            taken, self._busy = self._waiting.pop(of), True
        try:
            _settle(taken, work)
        finally:
            with self._changed:
                self._busy = False
                self._changed.notify_all()
        return mine.result()


def _settle(taken: list[tuple[W, Future[R]]], work: Callable[[Sequence[W]], R]) -> None:
    try:
        answer = work([wanted for wanted, _ in taken])
    except BaseException as error:
        for _, promised in taken:
            promised.set_exception(error)
        raise
    for _, promised in taken:
        promised.set_result(answer)
