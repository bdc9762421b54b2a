"""A signal asks the run to stop; the run stops at its next command, never between two lines.

An exception raised by a signal handler could strike between a change and the line that remembers
it. So the handler only takes a note, and the host layer looks at the note where it is safe.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from holdstill.errors import HoldstillError, RunInterrupted

STOPPING = (
    *(signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2),
    *(signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGXCPU),
    *(signal.SIGPOLL, signal.SIGPWR, signal.SIGSTKFLT),
    *range(signal.SIGRTMIN, signal.SIGRTMAX + 1),
)
"""All that end a process by default and can be caught (signal(7)), but those of a crash, after which nothing can be
relied on. Python itself ignores SIGPIPE and SIGXFSZ."""
MOMENT = 1.0
"Seconds that a command which lets go gets also when there is no time left: it must have been tried."


class Interruption:
    """The note that a stop was asked for, or that the time is over."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._signal = 0
        self._late: HoldstillError | None = None
        self._late_at = self._all_ends = math.inf
        self._insist = _pass
        self._shields = 0
        self._counting = threading.Lock()

    def __del__(self) -> None:
        """Close the bell: it is no object that would close itself."""
        os.close(self._bell)

    def listen(self) -> None:
        """Take notes of signals from now on, also of those that our caller left ignored or blocked.

        Whoever types Ctrl-Z waits: a guest that is quiet would be so for as long as we are suspended.
        """
        for number in STOPPING:
            signal.signal(number, self._note)
        signal.signal(signal.SIGTSTP, _pass_over)  # ignored, it would be by all commands, too
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
        """Raise :class:`~holdstill.errors.RunInterrupted` if a stop was asked for, or what says why not to go on."""
        if self._shields:
            return
        if self._signal:
            raise RunInterrupted(self._signal)
        if self._late and self._clock() >= self._late_at:
            raise self._late
        self._insist()

    @contextmanager
    def within(self, seconds: float, late: HoldstillError, *, letting_go: float = math.inf) -> Iterator[None]:
        """End, in order, what is being done inside when the time is over: ``late`` is raised at its next command.

        What lets go is not hurried, unless that has ``letting_go`` seconds, counted from now, too.
        """
        now = self._clock()
        self._late, self._late_at, self._all_ends = late, now + seconds, now + letting_go
        timer = threading.Timer(seconds, os.eventfd_write, [self._bell, 1])
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()
            self._late, self._late_at, self._all_ends = None, math.inf, math.inf
            self._still_the_bell()

    @contextmanager
    def going_on_while(self, insist: Callable[[], None]) -> Iterator[None]:
        """Have ``insist`` raise, before each command inside, what says why not to go on."""
        self._insist = insist
        try:
            yield
        finally:
            self._insist = _pass

    @property
    def left(self) -> float:
        """Seconds for what is being done; endless as a rule."""
        return self.left_for_all if self._shields else max(0.0, self._late_at - self._clock())

    @property
    def left_for_all(self) -> float:
        """Seconds for what is being done and for letting go of it, if that is limited."""
        return max(0.0, self._all_ends - self._clock())

    def cut(self, seconds: float) -> float:
        """Cut a deadline to what is left, in tenths."""
        return seconds if self.left > seconds else max(math.ceil(self.left * 10) / 10, MOMENT)

    def _still_the_bell(self) -> None:
        with suppress(BlockingIOError):
            os.eventfd_read(self._bell)
        if self._signal:  # looked at last: a signal may come at any moment
            os.eventfd_write(self._bell, 1)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Let go in peace: inside, a stop is noted and does nothing, however often it is asked for."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def _count(self, shields: int) -> None:
        with self._counting:  # several guests may be let go of at once
            self._shields += shields


def _pass() -> None:
    """Insist on nothing."""


def _pass_over(_number: int, _frame: FrameType | None) -> None:
    """Do nothing."""
