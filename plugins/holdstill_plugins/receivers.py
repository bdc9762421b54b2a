"""Those who are told something, each by a URL of apprise's."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote

import structlog

from holdstill.plugin import UnavailableError
from holdstill_plugins.bounded import failures_of

if TYPE_CHECKING:
    from apprise import Apprise

log = structlog.get_logger()

SHORTEST = 4
"Characters that a piece of a URL has at least if it can be a secret."


def not_understood(urls: Sequence[str]) -> list[str]:
    """Name the URLs that apprise does not understand."""
    with _complaints_of_apprise():
        return [name for name, url in _named(urls).items() if not _receiver(url)]


def tell(urls: Sequence[str], title: str, body: str, *, within: float) -> bool:
    """Tell all at once, within so many seconds; log who was told, and who could not be. Whether anybody was."""
    named = _named(urls)
    with _complaints_of_apprise() as said:
        failed = failures_of({name: partial(_send, url, title, body) for name, url in named.items()}, within)
    if failed:
        log.error("not told", to=failed, apprise=[_without_secrets(urls, complaint) for complaint in said])
    if told := [name for name in named if name not in failed]:
        log.info("told", to=told)
    return bool(told)


def _named(urls: Sequence[str]) -> dict[str, str]:
    """Give each a name that can be logged, by its number and kind: ``2 (mailto)``."""
    return {f"{number} ({url.partition(':')[0][:20]})": url for number, url in enumerate(urls, start=1)}


def _send(url: str, title: str, body: str) -> None:
    from apprise import NotifyFormat

    if not _receiver(url).notify(title=title, body=body, body_format=NotifyFormat.TEXT):
        raise UnavailableError("refused, or not reached")


def _receiver(url: str) -> Apprise:
    """Give what sends to one URL; it is empty, thus false, if apprise does not understand it."""
    from apprise import Apprise, AppriseAsset

    receiver = Apprise(asset=AppriseAsset(app_id="holdstill", app_desc="holdstill"))
    receiver.add(url)
    return receiver


class _Collector(logging.Handler):
    """Collects what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the message."""
        self.said.append(record.getMessage())


@contextmanager
def _complaints_of_apprise() -> Iterator[list[str]]:
    """Collect what apprise complains of; it says so to a log of its own, which nobody else reads."""
    logger, collector = logging.getLogger("apprise"), _Collector()
    logger.addHandler(collector)
    try:
        yield collector.said
    finally:
        logger.removeHandler(collector)


def _without_secrets(urls: Sequence[str], said: str) -> str:
    """Blot out every piece of the URLs, as there is no telling which of them is the secret one."""
    words = {word for url in urls for word in re.split(r"[/:@?&=,]+", f"{url}/{unquote(url)}")}
    for word in sorted(words, key=len, reverse=True):
        if len(word) >= SHORTEST:
            said = said.replace(word, "…")
    return said
