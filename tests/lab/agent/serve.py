"""Runs inside the machine as a service: reads requests from the port, runs them, and answers.

It is started by Debian's bare Python and imports nothing but that.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from typing import Any

PORT = "/dev/virtio-ports/lab"


def main() -> None:
    """Say hello, then serve one request after the other until the port is closed."""
    port = os.open(PORT, os.O_RDWR | os.O_CLOEXEC)
    say(port, {"hello": os.uname().release})
    with os.fdopen(port, "rb", closefd=False) as requests:
        for line in requests:
            say(port, serve(json.loads(line), port))


def say(port: int, message: dict[str, Any]) -> None:
    """Write one message, all of it."""
    rest = json.dumps(message).encode() + b"\n"
    while rest:
        rest = rest[os.write(port, rest) :]


def serve(request: dict[str, Any], port: int) -> dict[str, Any]:
    """Run what was asked for. A watched command speaks on the console, and through the port itself."""
    try:
        return watched(request, port) if request.get("watched") else finished(request)
    except OSError as error:
        return {"status": 127, "output": str(error)}


def watched(request: dict[str, Any], port: int) -> dict[str, Any]:
    """Run a command that was given the port for messages of its own; whoever asked watches the time."""
    environment = {**os.environ, "LAB_PORT": str(port)}
    done = subprocess.run(request["argv"], env=environment, pass_fds=[port], check=False)
    return {"status": done.returncode}


def finished(request: dict[str, Any]) -> dict[str, Any]:
    """Run a command to its end or limit. What it says goes to a file: its daemons may keep a pipe open."""
    with tempfile.TemporaryFile() as output:
        try:
            status = subprocess.run(
                request["argv"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=request["limit"],
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            status = None
        output.seek(0)
        return {"status": status, "output": output.read().decode(errors="replace")}


if __name__ == "__main__":
    main()
