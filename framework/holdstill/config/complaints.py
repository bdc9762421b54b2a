"""Collects what is wrong, so that it can be said all at once."""

from __future__ import annotations

from holdstill.errors import ConfigError
from holdstill.text import printable


class Complaints:
    """All that is wrong with a configuration."""

    def __init__(self) -> None:
        self._sentences: list[str] = []

    def add(self, place: str, sentence: str) -> None:
        """Complain of what is written at ``place`` (``FILE:LINE``)."""
        text = printable(f"{place}: {sentence}" if place else sentence)
        if text not in self._sentences:
            self._sentences.append(text)

    def raise_any(self) -> None:
        """Raise ConfigError with all complaints, if there are any."""
        if self._sentences:
            raise ConfigError(self._sentences)
