"""Where events go: the terminal of a person, syslog or the systemd journal, or both."""

from __future__ import annotations

import sys
from collections.abc import Callable, MutableMapping, Sequence
from contextlib import suppress
from typing import Any, TypeAlias

import structlog

Event: TypeAlias = MutableMapping[str, Any]
Sink: TypeAlias = Callable[[str, Event], None]
"""Takes the level's name and the event; must not raise for a full disk or a reader that is gone."""

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def configure(sinks: Sequence[Sink], *, level: str = "info") -> None:
    """Send events of ``level`` and above to ``sinks``."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.ExceptionRenderer(),
            _Fan(sinks),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.ReturnLoggerFactory(),
        cache_logger_on_first_use=False,
    )


class _Fan:
    """Hands each event to every sink; logging never breaks a run, whatever a sink or a value in it raises."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def __call__(self, _logger: Any, method: str, event: Event) -> str:
        for sink in self._sinks:
            with suppress(Exception):
                sink(method, dict(event))
        raise structlog.DropEvent


def stderr_is_terminal() -> bool:
    """Whether a person sees what we print."""
    with suppress(ValueError, AttributeError):
        return bool(sys.stderr and sys.stderr.isatty())
    return False
