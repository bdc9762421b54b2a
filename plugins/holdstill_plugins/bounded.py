"""What may hang, such as a name server or a mail server, done beside us and left behind at its deadline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait

from holdstill.plugin import HoldstillError


def failures_of(parts: Mapping[str, Callable[[], object]], seconds: float) -> dict[str, str]:
    """Do all parts at once; give why each that did not succeed within so many seconds did not, by its name."""
    started = {name: _started(part) for name, part in parts.items()}
    wait(started.values(), timeout=seconds)
    found = {name: _why(future, seconds) for name, future in started.items()}
    return {name: why for name, why in found.items() if why}


def _started(part: Callable[[], object]) -> Future[None]:
    """Start a part in a thread that does not outlive the process: it may never end."""
    future: Future[None] = Future()

    def work() -> None:
        try:
            part()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    threading.Thread(target=work, name="bounded", daemon=True).start()
    return future


def _why(future: Future[None], seconds: float) -> str:
    """Say what is known to hold no secret: of an error that is not ours, its type alone."""
    if not future.done():
        return f"no answer within {seconds:g} s"
    error = future.exception()
    return "" if error is None else str(error) if isinstance(error, HoldstillError) else type(error).__name__
