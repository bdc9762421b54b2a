"""The time in which guests' applications are quiet, and, where several disks are held, their disks frozen."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any

import structlog

from holdstill.errors import HoldstillError, PluginBugError
from holdstill.run.job import Guest
from holdstill.run.prepare import by_plugin
from holdstill.run.run import Run
from holdstill.words import Step

log = structlog.get_logger()


class Quiet:
    """Enters the quiesce steps of guests in order, then freezes their disks if they are several.

    Leaves all in reverse: always all, and never interrupted.
    """

    def __init__(self, run: Run, guests: list[Guest]) -> None:
        self._run = run
        self._guests = guests
        self._stack = ExitStack()
        self._began = self._frozen = 0.0

    def __enter__(self) -> None:
        freezing = self._freezing([guest.snapshot for guest in self._guests])
        self._began = time.monotonic()
        try:
            for step in [step for guest in self._guests for step in guest.quiesce]:
                self._stack.enter_context(self._run.call(step, "holdstill_quiesce"))
            self._freeze(freezing)
        except BaseException as error:
            self.__exit__(*sys.exc_info())
            if isinstance(error, Exception) and not isinstance(error, HoldstillError):
                raise self._defect(error) from error
            raise

    def _freezing(self, steps: list[Step[Any]]) -> list[AbstractContextManager[None]]:
        """Get ready to freeze the disks, if their snapshots would not be of one moment otherwise."""
        if sum(len(step.disks) for step in steps) < 2:  # noqa: PLR2004  one by itself is of one moment
            return []
        return [
            self._run.plugins.call(
                plugin,
                "holdstill_freeze",
                disks=tuple(disk for step in same for disk in step.disks),
                hold=self._run.hold(plugin),
                host=self._run.host,
            )
            for plugin, same in by_plugin(steps).items()
        ]

    def _freeze(self, freezing: list[AbstractContextManager[None]]) -> None:
        if freezing:
            self._frozen = time.monotonic()
        for frozen in freezing:
            self._stack.enter_context(frozen)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._run.interruption.shield():
            try:
                self._stack.__exit__(kind, error, trace)
            except Exception as raised:
                if raised is error or isinstance(raised, HoldstillError):
                    raise
                raise self._defect(raised) from raised
            finally:
                self._measure()

    def _measure(self) -> None:
        now, names = time.monotonic(), [guest.name for guest in self._guests]
        self._run.outcome.quiet_seconds |= dict.fromkeys(names, now - self._began)
        if self._frozen:
            self._run.outcome.frozen_seconds |= dict.fromkeys(names, now - self._frozen)
            log.info("disks were frozen together", guests=names, seconds=round(now - self._frozen, 3))

    def _defect(self, error: Exception) -> PluginBugError:
        plugins = [step.plugin for guest in self._guests for step in (*guest.quiesce, guest.snapshot)]
        names = ", ".join(guest.name for guest in self._guests)
        return PluginBugError(
            f"guest {names}, quiesce: a defect in one of {', '.join(plugins)}: {type(error).__name__}: {error}."
        )
