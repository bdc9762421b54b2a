"""Text that reaches a person, a terminal or a log."""

from __future__ import annotations

from collections.abc import Iterable


def printable(text: str) -> str:
    """Make text from outside safe to show on one line.

    Names on a guest's disk are written by anyone in the guest: control characters in them could
    rewrite a terminal or forge a line of a log.
    """
    return "".join(char if char.isprintable() else _escaped(char) for char in text.replace("\n", "; "))


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def nearest(word: str, known: Iterable[str]) -> str:
    """Give a hint on a misspelt word: ``; did you mean 'kpartx'?``, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def one_line(text: str, limit: int = 1000) -> str:
    """Shorten a message to one line of at most ``limit`` bytes, as callers of hooks expect."""
    line = printable(text.strip())
    whole = line.encode()
    return line if len(whole) <= limit else whole[: limit - 3].decode(errors="ignore") + "…"
