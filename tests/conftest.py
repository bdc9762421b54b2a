"""What tests of several kinds need: somebody on this machine who hears what holdstill tells over HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest


@dataclass(frozen=True)
class Heard:
    """A request."""

    path: str
    query: dict[str, list[str]]
    body: str


class Ear(ThreadingHTTPServer):
    """Hears requests on the loopback interface; answers as it is told to, or with 200."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.heard: list[Heard] = []
        self.answers: list[int] = []
        "Statuses of the next answers."
        self.silent = threading.Event()
        "Set: requests get no answer until it is cleared."
        self.over = threading.Event()

    @property
    def at(self) -> str:
        """``HOST:PORT``."""
        return f"127.0.0.1:{self.server_port}"

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [one.path for one in self.heard]


class _Request(BaseHTTPRequestHandler):
    server: Ear

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        self.server.heard.append(Heard(parts.path, parse_qs(parts.query), body))
        if self.server.silent.is_set():
            self.server.over.wait()
            return
        self.send_response(self.server.answers.pop(0) if self.server.answers else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def ear() -> Iterator[Ear]:
    """Somebody who hears what is told over HTTP."""
    with Ear() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.over.set()
        made.shutdown()
        thread.join()
