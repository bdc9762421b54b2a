"""Printing results. A reader that is gone, or a full disk, never changes how a command ends."""

from __future__ import annotations

import os
from contextlib import suppress

STDOUT, STDERR = 1, 2


def say(text: str) -> None:
    """Print a result on standard output."""
    _write(STDOUT, text)


def tell(text: str) -> None:
    """Print a message on standard error."""
    _write(STDERR, text)


def print_json(value: object) -> None:
    """Print a value as JSON on standard output."""
    import msgspec

    say(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def hush() -> None:
    """Let nobody hear what is printed from now on."""
    nobody = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (STDOUT, STDERR):
        os.dup2(nobody, descriptor)
    os.close(nobody)


def _write(descriptor: int, text: str) -> None:
    left = f"{text}\n".encode(errors="surrogateescape")
    with suppress(OSError):
        while left:
            left = left[os.write(descriptor, left) :]
