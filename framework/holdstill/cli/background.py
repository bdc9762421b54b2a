"""Other commands of holdstill, in the background."""

from __future__ import annotations

import sys

from holdstill.host.detached import LIMIT, start_detached
from holdstill.places import Places


def start_in_background(places: Places, name: str, *arguments: str, within: float = LIMIT) -> None:
    """Have a command of holdstill at work without us, on the same places; return when it says that it has begun.

    ``name`` is what its systemd unit is called. Raises UnavailableError or CommandFailedError if it does not begin
    within so many seconds.
    """
    options = [f"--{option}={path}" for option, path in places._asdict().items()]
    start_detached(f"holdstill-{name}", [sys.executable, "-m", "holdstill", *options, *arguments], within)
