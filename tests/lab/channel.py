"""JSON messages, one a line, over the socket that is the machine's serial port."""

from __future__ import annotations

import json
import socket
import time
from typing import Any

Message = dict[str, Any]


class Channel:
    """This side of the port."""

    def __init__(self, ours: socket.socket) -> None:
        self._socket = ours
        self._unread = b""

    def send(self, message: Message) -> None:
        """Send one message."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, limit: float) -> Message:
        """Return the next message; TimeoutError if none comes in time, EOFError if none can come any more."""
        until = time.monotonic() + limit
        while b"\n" not in self._unread:
            self._read_more(until - time.monotonic())
        line, _, self._unread = self._unread.partition(b"\n")
        message: Message = json.loads(line)
        return message

    def close(self) -> None:
        """Let go of the socket."""
        self._socket.close()

    def _read_more(self, limit: float) -> None:
        if limit <= 0:
            raise TimeoutError
        self._socket.settimeout(limit)
        try:
            more = self._socket.recv(65536)
        except ConnectionError as gone:
            raise EOFError from gone
        if not more:
            raise EOFError
        self._unread += more
