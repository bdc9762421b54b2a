"""Several guests at once: most of the time is spent waiting for commands, and for udev."""

from __future__ import annotations

import contextvars
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import structlog

log = structlog.get_logger()

R = TypeVar("R")

MOST = 8
"More at once do not end sooner: a volume group has one lock, and storage one queue."


class SideBySide(Generic[R]):
    """Does pieces of work at the same time; none is left at work when the ``with`` is left."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(MOST, thread_name_prefix="guest")
        self._started: list[Future[R]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def start(self, part: Callable[..., R], *arguments: Any) -> None:
        """Start a piece of work; what it logs is known by the same job and run as here."""
        context = contextvars.copy_context()
        self._started.append(self._pool.submit(context.run, partial(part, *arguments)))

    @property
    def failed(self) -> bool:
        """Whether one has failed already: then there is no use in starting more."""
        return any(future.done() and future.exception() for future in self._started)

    def results(self) -> tuple[R, ...]:
        """Wait for all; give their results in the order in which they were started, or raise the first failure."""
        failed = [error for future in self._started if (error := future.exception())]
        for error in failed[1:]:
            log.error("failed as well", why=str(error))
        return tuple(future.result() for future in self._started)
