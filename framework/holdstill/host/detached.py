"""A program that goes on without us, and without anything of our caller's."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from holdstill.errors import UnavailableError
from holdstill.host import Answer
from holdstill.host.command import ENVIRONMENT, readable, run_command
from holdstill.host.failures import CommandFailedError
from holdstill.host.interruption import Interruption
from holdstill.host.service_manager import SOCKET

TEMPORARY = "/tmp"  # noqa: S108  not our caller's $TMPDIR, which may be too long for a socket's address
SYSTEMD = Path("/run/systemd/system")
"It is there where systemd is the first process (sd_booted(3))."
LIMIT = 60.0
"Seconds that a program gets until it says that it has begun, unless its caller has less."
PROPERTIES = (
    "Type=notify",
    "KillMode=mixed",  # a stop reaches the program alone, which ends in order
    "SendSIGKILL=no",  # LVM's commands must not be killed
    "TimeoutStopSec=15min",
)


def start_detached(name: str, argv: Sequence[str], within: float = LIMIT) -> None:
    """Start a program that nothing of our caller's keeps, or ends; return when it says that it has begun.

    It says so by systemd's notification protocol. Where systemd runs, it gets a transient unit, called ``name``
    and some random digits: a child of ours would be in our caller's control group, and end with the service that
    it is about to stop. Elsewhere it gets a session of its own. Either way it has none of our descriptors: whoever
    waits for our pipes need not wait for it.

    Raises UnavailableError or CommandFailedError if it cannot be started, or does not begin.
    """
    if SYSTEMD.is_dir():
        _in_a_unit(_unit(name), argv, within)
    else:
        _in_a_session(tuple(argv), within)


def _unit(name: str) -> str:
    """Name a unit that there is not, with what a unit's name may have (systemd.unit(5))."""
    return f"{re.sub('[^A-Za-z0-9:_.-]', '_', name)[:200]}-{secrets.token_hex(4)}.service"


def _in_a_unit(unit: str, argv: Sequence[str], within: float) -> None:
    answer = run_command(
        (
            *("systemd-run", "--quiet", "--collect", f"--unit={unit}"),
            *(f"--property={setting}" for setting in (*PROPERTIES, f"TimeoutStartSec={within:g}")),
            *("--", *(word.replace("$", "$$") for word in argv)),  # systemd puts variables in
        ),
        deadline=within + 10,
        interruption=Interruption(),
    )
    if answer.status:
        raise CommandFailedError(answer)


def _in_a_session(argv: tuple[str, ...], within: float) -> None:
    try:
        with (
            tempfile.TemporaryDirectory(
                prefix="holdstill-", dir=TEMPORARY, ignore_cleanup_errors=True
            ) as folder,
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
        ):
            listener.bind(f"{folder}/begun")
            _wait_until_begun(_start(argv, f"{folder}/begun"), argv, listener, within)
    except OSError as error:
        raise UnavailableError(
            f"«{argv[0]}» cannot be started in the background: {error.filename or argv[0]}: {error.strerror}."
        ) from None


def _start(argv: tuple[str, ...], address: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={**ENVIRONMENT, SOCKET: address},
        start_new_session=True,
    )


def _wait_until_begun(
    process: subprocess.Popen[bytes], argv: tuple[str, ...], listener: socket.socket, within: float
) -> None:
    pidfd = os.pidfd_open(process.pid)
    try:
        ready = readable([listener.fileno(), pidfd], within)
    finally:
        os.close(pidfd)
    if pidfd in ready and listener.fileno() not in ready:
        raise CommandFailedError(Answer(argv, process.wait()), "ended before it had begun")
    if not ready:
        process.terminate()  # as systemd does: who is told that it failed does not expect that it goes on
    process.returncode = 0  # nobody waits for it any more
    if not ready:
        raise CommandFailedError(Answer(argv, 0), f"(pid {process.pid}) did not begin within {within:g} s")
