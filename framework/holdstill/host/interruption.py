"""A signal asks the run to stop; the run stops at its next command, never between two lines.

An exception raised by a signal handler could strike between a change and the line that remembers
it. So the handler only takes a note, and the host layer looks at the note where it is safe.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from holdstill.errors import RunInterrupted

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Interruption:
    """The note that a stop was asked for."""

    def __init__(self) -> None:
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._signal = 0
        self._shields = 0

    def listen(self) -> None:
        """Take notes of signals from now on, also of those that our caller left ignored or blocked."""
        for number in STOPPING:
            signal.signal(number, self._note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._signal = self._signal or number
        os.eventfd_write(self._bell, 1)

    @property
    def pending(self) -> int:
        """The signal that asked for a stop, if one did and it is not shielded off; else 0."""
        return 0 if self._shields else self._signal

    @property
    def bell(self) -> int | None:
        """A descriptor that becomes readable when a stop is asked for; ``None`` while shielded."""
        return None if self._shields else self._bell

    def check(self) -> None:
        """Raise :class:`~holdstill.errors.RunInterrupted` if a stop was asked for."""
        if self.pending:
            raise RunInterrupted(self._signal)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Let go in peace: inside, a stop is noted and does nothing, however often it is asked for."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
