"""A program that stays beside us while something is held, and lets go by itself when we are gone."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from holdstill.errors import UnavailableError
from holdstill.host import Answer
from holdstill.host.command import ENVIRONMENT, GRACE, readable
from holdstill.host.failures import CommandFailedError

LONGEST_LINE = 4096


@contextmanager
def companion(argv: tuple[str, ...], *, limit: float, env: Mapping[str, str]) -> Iterator[str]:
    """Start ``argv`` with a pipe as its standard input, and give the first line that it prints.

    The pipe closes when we end, whatever ends us. Its own session keeps what ends us from ending it, too.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**ENVIRONMENT, **env},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise UnavailableError(f"«{argv[0]}» cannot be started: {error.strerror}.") from None
    try:
        yield _first_line(process, argv, limit)
        if process.poll() is not None:
            raise CommandFailedError(Answer(argv, process.returncode), "ended before it was asked to")
    finally:
        _end(process)


def _first_line(process: subprocess.Popen[bytes], argv: tuple[str, ...], limit: float) -> str:
    assert process.stdout
    ready = readable([process.stdout.fileno()], limit)
    line = os.read(process.stdout.fileno(), LONGEST_LINE) if ready else b""
    if not line.endswith(b"\n"):
        raise CommandFailedError(Answer(argv, process.poll() or 0), f"was not ready within {limit:g} s")
    return line.decode(errors="replace").strip()


def _end(process: subprocess.Popen[bytes]) -> None:
    """Close its input, which tells it to let go; a program that does not end by that is killed."""
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    process.stdout.close()
