"""A program that stays beside us while something is held, and lets go by itself when we are gone."""

from __future__ import annotations

import math
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

from holdstill.errors import UnavailableError
from holdstill.host import Answer
from holdstill.host.command import ENVIRONMENT, GRACE, content, readable
from holdstill.host.failures import CommandFailedError, NotLetGoError, how_it_ended
from holdstill.host.interruption import Interruption

LONGEST_LINE = 1 << 20


class Piped:
    """A :class:`~holdstill.host.Companion` at the other end of a pipe."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        argv: tuple[str, ...],
        interruption: Interruption,
        out: int = -1,
        err: int = -1,
    ) -> None:
        self._process = process
        self._argv = argv
        self._interruption = interruption
        self._out = out
        self._err = err
        self._heard = b""
        self._let_go_after = 0.0
        self.first = ""
        "What it said when it was ready."
        self._failure: CommandFailedError | None = None
        self._why = ""
        self._closing = threading.Lock()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def tell(self, line: str) -> None:
        """See :meth:`holdstill.host.Companion.tell`."""
        assert self._process.stdin
        with self._closing:
            if self._process.stdin.closed:
                raise self.too_early()
            try:
                os.write(self._process.stdin.fileno(), f"{line}\n".encode())
            except BrokenPipeError:
                raise self.too_early() from None

    def hear(self, within: float) -> str:
        """See :meth:`holdstill.host.Companion.hear`."""
        ends = time.monotonic() + within
        while b"\n" not in self._heard:
            self._hear_more(ends, within)
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode(errors="replace")

    def _hear_more(self, ends: float, within: float) -> None:
        bell = self._interruption.bell
        ready = readable([self._out, *([] if bell is None else [bell])], max(0.0, ends - time.monotonic()))
        self._interruption.check()
        if not ready and time.monotonic() >= ends:  # poll(2) may not wait for as long
            raise self._failed(f"said nothing within {within:g} s")
        piece = os.read(self._out, LONGEST_LINE) if self._out in ready else b""
        if self._out in ready and not piece:
            raise self.too_early()
        self._heard += piece
        if len(self._heard) > LONGEST_LINE:
            raise self._failed("said more than could be read")

    def let_go(self, after: float = 0) -> None:
        """Close its input, which tells it to let go; ``after`` so many seconds, if we have not come to it before."""
        assert self._process.stdin
        with self._closing:
            if not self._process.stdin.closed:
                self._let_go_after = after
                self._process.stdin.close()

    def too_early(self) -> CommandFailedError:
        """Give the error of one that has let go before it was to."""
        if self._let_go_after:
            return self._failed(
                f"let go by itself after {self._let_go_after:g} s, the longest that it may hold"
            )
        with suppress(subprocess.TimeoutExpired):  # what closed its output is about to end
            self._process.wait(GRACE)
        return self._failed("ended before it was asked to")

    def held(self) -> None:
        """Raise CommandFailedError unless it holds still."""
        if self._let_go_after or not self.runs:
            raise self.too_early()

    def has_failed(self, error: BaseException) -> bool:
        """Whether an error is of its own, and not its user's."""
        return error is self._failure

    def end(self) -> str:
        """Tell it to let go; a program that does not end by that is killed. Say how it failed to, if it did.

        Killed by itself: a command that it has just started may be one that must not be.
        """
        self.let_go()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(GRACE)
        if self.runs:
            self._process.kill()
            self._process.wait()
            return f"did not end within {GRACE:g} s, and was killed,"
        status = self._process.returncode
        return how_it_ended(status) if status else ""

    def not_let_go(self, how: str) -> NotLetGoError:
        """Give the error of one that has failed so when it was to let go."""
        why = f"{self._why}, and {how}" if self._why else f"{how} when it was to let go"
        return NotLetGoError(self._answer(), why)

    def _failed(self, why: str) -> CommandFailedError:
        self._failure, self._why = CommandFailedError(self._answer(), why), why
        return self._failure

    def _answer(self) -> Answer:
        said = content(self._err) if self._err >= 0 else ""
        return Answer(self._argv, self._process.poll() or 0, err=said)


def stay_beside(argv: tuple[str, ...], *, env: Mapping[str, str]) -> Piped:
    """Start ``argv`` with a pipe as its standard input, and leave it alone."""
    return Piped(_start(argv, env, subprocess.DEVNULL, subprocess.DEVNULL), argv, Interruption())


@contextmanager
def companion(
    argv: tuple[str, ...],
    *,
    limit: float,
    at_most: float = math.inf,
    told: Sequence[str] = (),
    env: Mapping[str, str],
    interruption: Interruption,
) -> Iterator[Piped]:
    """Start ``argv`` with a pipe as its standard input, and wait for the first line that it prints."""
    said = os.memfd_create("stderr", os.MFD_CLOEXEC)
    hears, says = os.pipe()
    try:
        try:
            process = _start(argv, env, says, said, keep=(hears,))
        finally:
            os.close(says)
        beside_us = Piped(process, argv, interruption, hears, said)
        with _ended(beside_us):
            for line in told:
                beside_us.tell(line)
            beside_us.first = beside_us.hear(limit)
            with _no_longer_than(at_most, beside_us):
                yield beside_us
                beside_us.held()
    finally:
        os.close(hears)
        os.close(said)


@contextmanager
def _ended(beside_us: Piped) -> Iterator[None]:
    """Have it let go and end, whatever happens inside.

    Raises NotLetGoError if it fails to, and nothing else has failed but itself. One that ended by itself before it was
    ready has refused: it holds nothing.
    """
    try:
        yield
    except BaseException as error:
        held = bool(beside_us.first) or beside_us.runs
        how = beside_us.end()
        if how and held and beside_us.has_failed(error):
            raise beside_us.not_let_go(how) from error
        raise
    if how := beside_us.end():
        raise beside_us.not_let_go(how)


@contextmanager
def _no_longer_than(seconds: float, beside_us: Piped) -> Iterator[None]:
    """Have it let go after so many seconds, whatever we are at then: in a thread of its own."""
    if math.isinf(seconds):
        yield
        return
    timer = threading.Timer(seconds, beside_us.let_go, [seconds])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _start(
    argv: tuple[str, ...], env: Mapping[str, str], out: int, err: int, keep: tuple[int, ...] = ()
) -> subprocess.Popen[bytes]:
    """Start a program whose input closes when we end. Its own session keeps what ends us from ending it, too.

    It inherits the end of its output at which we listen: if we die before it says that it is ready, saying so must
    not end it (SIGPIPE) before it has let go.
    """
    try:
        return subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=err,
            env={**ENVIRONMENT, **env},
            cwd="/",
            start_new_session=True,
            pass_fds=keep,
        )
    except OSError as error:
        raise UnavailableError(f"«{argv[0]}» cannot be started: {error.strerror}.") from None
