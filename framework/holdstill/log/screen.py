"""Events and progress for a person at a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from holdstill.log import Event, stderr_is_terminal
from holdstill.text import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID

COLOURS = {"error": "31", "exception": "31", "critical": "31", "warning": "33", "debug": "2"}
PHASES = {"prepare", "expose", "backup", "release", "verify"}
HIDDEN = {"event", "level", "exception", "job", "run"}


class Screen:
    """Standard error, if it is a terminal: a line an event, and a bar for what takes long.

    A terminal that has gone (EIO), as that of who has logged out, ends no backup.
    """

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._task: TaskID | None = None

    def __call__(self, method: str, event: Event) -> None:
        """Show an event: phases stand out, what happens in them is indented."""
        if sys.stderr is None:  # closed by our caller; print() would take standard output instead
            return
        self.stop()
        text = printable(str(event.get("event", "")))
        fields = "  ".join(f"{key}={_value(value)}" for key, value in event.items() if key not in HIDDEN)
        line = _styled("1", text) if text in PHASES else f"  {text}  {_styled('2', fields)}"
        if method in COLOURS:
            line = _styled(COLOURS[method], line)
        print(time.strftime("%H:%M:%S"), line, file=sys.stderr)
        if "exception" in event:
            print(*map(printable, str(event["exception"]).splitlines()), sep="\n", file=sys.stderr)

    def begin(self, what: str, total: int) -> None:
        """See :meth:`holdstill.words.Progress.begin`."""
        self.stop()
        with suppress(OSError):
            self._begin(what, total)

    def _begin(self, what: str, total: int) -> None:
        from rich import progress
        from rich.console import Console

        self._bar = progress.Progress(
            progress.TextColumn("         {task.description}"),
            progress.BarColumn(),
            progress.DownloadColumn(binary_units=True),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task(printable(what), total=total or None)
        self._bar.start()

    def at(self, amount: int) -> None:
        """See :meth:`holdstill.words.Progress.at`."""
        if self._bar and self._task is not None:
            with suppress(OSError):
                self._bar.update(self._task, completed=amount)

    def stop(self) -> None:
        """Take the bar away."""
        bar, self._bar = self._bar, None
        if bar:
            with suppress(OSError):
                bar.stop()


def _styled(code: str, text: str) -> str:
    return f"\033[{code}m{text}\033[0m" if stderr_is_terminal() else text


def _value(value: object) -> str:
    shown = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return printable(shown)
