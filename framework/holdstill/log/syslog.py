"""Events for machines: the systemd journal with its fields, or else syslog."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from holdstill.log import Event, Sink
from holdstill.text import printable

TAG = "holdstill"
JOURNAL, SYSLOG = "/run/systemd/journal/socket", "/dev/log"
PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "exception": 3, "critical": 2}
DAEMON = 3 << 3
"syslog(3)'s facility of daemons."
LONGEST = 60_000
"Bytes of one datagram; a longer event is cut rather than lost."
MESSAGE = LONGEST // 5
"Characters of a message in the journal's protocol, where a field that is cut short makes the whole event invalid."


def sink() -> Sink | None:
    """Give the sink that this host has; ``None`` if it has neither."""
    for path, form in ((JOURNAL, for_journal), (SYSLOG, for_syslog)):
        if Path(path).exists():
            return _Datagrams(path, form)
    return None


class _Datagrams:
    """Sends each event as a datagram; if nobody listens, it is lost, and the run goes on."""

    def __init__(self, path: str, form: Callable[[int, Event], bytes]) -> None:
        self._path = path
        self._form = form
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def __call__(self, method: str, event: Event) -> None:
        self._socket.sendto(self._form(PRIORITIES.get(method, 6), event)[:LONGEST], self._path)


def sentence(event: Event) -> str:
    """Write an event as a line: the message, then its fields."""
    fields = " ".join(f"{key}={printable(str(value))}" for key, value in event.items() if key not in _HIDDEN)
    return f"{printable(str(event.get('event', '')))}{' ' if fields else ''}{fields}"


_HIDDEN = {"event", "level", "exception"}


def _traceback(event: Event) -> list[str]:
    return [printable(line) for line in str(event.get("exception", "")).splitlines()]


def for_syslog(priority: int, event: Event) -> bytes:
    """Write an event as syslog wants it (RFC 3164, as /dev/log takes it)."""
    text = "#012".join([sentence(event), *_traceback(event)])
    return f"<{DAEMON | priority}>{TAG}[{os.getpid()}]: {text}".encode(errors="replace")


def for_journal(priority: int, event: Event) -> bytes:
    """Write an event in the journal's own protocol, each field searchable: HOLDSTILL_JOB=nightly."""
    message = "\n".join([sentence(event), *_traceback(event)])
    fields = {"MESSAGE": message[:MESSAGE], "PRIORITY": str(priority), "SYSLOG_IDENTIFIER": TAG}
    fields |= {
        f"HOLDSTILL_{key.upper()}": str(event[key]) for key in ("job", "run", "guest", "step") if key in event
    }
    return b"".join(_field(name, value.encode(errors="replace")) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    """A field with its length, so that a line feed in a value cannot forge another field."""
    return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
