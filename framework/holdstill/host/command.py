"""Run one command to its end, or to its deadline."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from holdstill.errors import UnavailableError
from holdstill.host import Answer
from holdstill.host.failures import CommandFailedError, CommandStuckError
from holdstill.host.interruption import MOMENT, Interruption
from holdstill.host.tools import package_of

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "HOME": "/root",
    "LVM_SUPPRESS_FD_WARNINGS": "1",
}

GENTLE = frozenset(
    {"dmsetup", "kpartx", "lvchange", "lvconvert", "lvcreate", "lvextend", "lvm", "lvremove", "lvs", "pvs"}
    | {"vgchange", "vgimportclone", "vgs"}
)
"""Never killed: SIGKILL in the middle of one can leave a live guest's disk suspended."""

GRACE = 10.0
"Seconds between TERM and KILL, and after KILL before a command counts as stuck."
PATIENCE = 60.0
"Seconds that a gentle command gets after TERM before it is left to itself."
LONGEST_POLL = 3600.0
"Seconds; poll(2) takes no more milliseconds than fit an int."
TICK = 0.5
"How often a command's output is looked at, in seconds."
MOST = 64 << 20
"Bytes of output that are kept: a backup that names each of its files for hours must not fill the memory."


class Command:
    """One command, running.

    Its output goes to memory files, not pipes: a command that outlives us must not be ended by
    SIGPIPE in its critical section, and a daemon that it leaves behind must not make us wait.
    """

    def __init__(
        self, argv: tuple[str, ...], *, env: Mapping[str, str] | None, keep: tuple[int, ...] = ()
    ) -> None:
        self.argv = argv
        self._out = os.memfd_create("stdout", os.MFD_CLOEXEC)
        self._err = os.memfd_create("stderr", os.MFD_CLOEXEC)
        self._watched = 0
        try:
            self._process = self._start(env, keep)
        except OSError:
            self._close()
            raise
        self._pidfd = os.pidfd_open(self._process.pid)

    def _start(self, env: Mapping[str, str] | None, keep: tuple[int, ...]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env={**ENVIRONMENT, **(env or {})},
            cwd="/",
            process_group=0,
            pass_fds=keep,
            umask=0o022,
        )

    def finish(
        self, deadline: float, interruption: Interruption, watch: Callable[[str], None] | None
    ) -> Answer:
        """Wait for its end and give its answer; end it at its deadline or when a stop is asked for."""
        deadline = interruption.cut(deadline)
        try:
            if not self._wait(deadline, interruption, watch):
                self._end(deadline, interruption.left_for_all)
                interruption.check()
                raise CommandFailedError(self._answer(), f"did not end within {deadline:g} s and was ended")
            return self._answer()
        except CommandStuckError:
            raise
        except BaseException:
            if self._process.poll() is None:  # leave no command behind that nobody waits for
                self._end(deadline, interruption.left_for_all)
            raise
        finally:
            self._close()

    def _wait(self, deadline: float, interruption: Interruption, watch: Callable[[str], None] | None) -> bool:
        ends = time.monotonic() + deadline
        bell = None if self._gentle else interruption.bell
        while (left := ends - time.monotonic()) > 0:
            ready = readable([self._pidfd, *([] if bell is None else [bell])], min(left, TICK))
            if watch:
                self._show(watch)
            for stream in (self._out, self._err):
                forget_the_beginning(stream)
            if ready and self._process.poll() is not None:
                return True
            if bell in ready:
                return False
        return self._process.poll() is not None

    @property
    def _gentle(self) -> bool:
        return self.argv[0].rpartition("/")[2] in GENTLE

    def _show(self, watch: Callable[[str], None]) -> None:
        size = os.fstat(self._err).st_size
        if size > self._watched:
            fresh = os.pread(self._err, size - self._watched, self._watched)
            self._watched = size
            watch(fresh.decode(errors="replace"))

    def _end(self, deadline: float, left: float) -> None:
        """Ask it to end; ending it by force only where that does no more harm than waiting.

        Of the seconds that are ``left``, half at least are for what comes after, unless nothing can until it has ended.
        """
        grace = min(GRACE, max(left / 4, MOMENT))
        self._signal(signal.SIGTERM)
        ended = self._ended_within(min(PATIENCE, max(left, MOMENT)) if self._gentle else grace)
        if not self._gentle:  # also when it ended: its children may not have
            self._signal(signal.SIGKILL)
            ended = self._ended_within(grace)
        if not ended:
            raise CommandStuckError(self.argv, self._process.pid, deadline)

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)

    def _ended_within(self, seconds: float) -> bool:
        readable([self._pidfd], seconds)
        return self._process.poll() is not None

    def _answer(self) -> Answer:
        return Answer(self.argv, self._process.returncode, content(self._out), content(self._err))

    def _close(self) -> None:
        os.close(self._out)
        os.close(self._err)
        if hasattr(self, "_pidfd"):
            os.close(self._pidfd)


def run_command(
    argv: tuple[str, ...],
    *,
    deadline: float,
    interruption: Interruption,
    env: Mapping[str, str] | None = None,
    keep: tuple[int, ...] = (),
    watch: Callable[[str], None] | None = None,
) -> Answer:
    """Run ``argv`` and give its answer, whatever its status.

    Raises UnavailableError if there is no such command, CommandFailedError if it had to be ended,
    CommandStuckError if that was not possible, RunInterrupted if a stop was asked for.
    """
    interruption.check()
    try:
        command = Command(argv, env=env, keep=keep)
    except FileNotFoundError:
        raise UnavailableError(f"«{argv[0]}» is not installed{package_of(argv[0])}.") from None
    except OSError as error:
        raise UnavailableError(f"«{argv[0]}» cannot be started: {error.strerror}.") from None
    return command.finish(deadline, interruption, watch)


def readable(descriptors: list[int], seconds: float) -> list[int]:
    """Wait until a descriptor can be read, or is closed; give those that are. poll(2) knows no largest descriptor."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return [descriptor for descriptor, _ in poll.poll(min(seconds, LONGEST_POLL) * 1000)]


def forget_the_beginning(descriptor: int) -> None:
    """Give back the memory of a memory file that has grown too long; who writes to it goes on behind a hole.

    What is written at that very moment is lost.
    """
    if os.fstat(descriptor).st_blocks * 512 > 2 * MOST:
        end = os.fstat(descriptor).st_size
        kept = os.pread(descriptor, MOST, end - MOST)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, kept, end - MOST)


def content(descriptor: int) -> str:
    """Give what was written to a memory file, or the end of it if that is long."""
    start = max(0, os.fstat(descriptor).st_size - MOST)
    return os.pread(descriptor, MOST, start).decode(errors="replace")
