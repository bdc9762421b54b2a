"""The time in which guests' applications are quiet, and, where several disks are held, their disks frozen."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, TypeVar

import structlog

from holdstill.errors import HoldstillError, PluginBugError
from holdstill.run.job import Guest
from holdstill.run.prepare import by_plugin
from holdstill.run.quiet_step import QuietStep
from holdstill.run.run import Run
from holdstill.words import Step

log = structlog.get_logger()

T = TypeVar("T")
FREEZE = "holdstill_freeze"


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
        try:
            disks = [disk for guest in self._guests for disk in guest.disks]
            self._stack.enter_context(self._run.host.alone_with(*disks))
            freezing = self._ready_to_freeze([guest.snapshot for guest in self._guests])
            self._began = time.monotonic()
            self._stack.callback(self._measure)
            for step in [step for guest in self._guests for step in guest.quiesce]:
                self._stack.enter_context(QuietStep(self._run, step, self._left()))
            self._freeze(freezing)
        except BaseException as error:
            self.__exit__(*sys.exc_info())
            if isinstance(error, Exception) and not isinstance(error, HoldstillError):
                raise self._defect(error) from error
            raise

    def _left(self) -> float:
        """Seconds that are left of the job's budget."""
        return max(0.0, self._run.job.quiet_budget - (time.monotonic() - self._began))

    def _enter(self, plugin: str, hook: str, manager: AbstractContextManager[T]) -> T:
        return self._stack.enter_context(self._run.plugins.context(plugin, hook, manager))

    def _ready_to_freeze(self, steps: list[Step[Any]]) -> dict[str, AbstractContextManager[None]]:
        """Give what freezes the disks, if their snapshots would not be of one moment otherwise."""
        if sum(len(step.disks) for step in steps) < 2:  # noqa: PLR2004  one by itself is of one moment
            return {}
        return {
            plugin: self._enter(
                plugin,
                FREEZE,
                self._run.plugins.call(
                    plugin,
                    FREEZE,
                    disks=tuple(disk for step in same for disk in step.disks),
                    hold=self._run.hold(plugin),
                    host=self._run.host,
                ),
            )
            for plugin, same in by_plugin(steps).items()
        }

    def _freeze(self, freezing: dict[str, AbstractContextManager[None]]) -> None:
        if freezing:
            self._frozen = time.monotonic()
        for plugin, frozen in freezing.items():
            self._enter(plugin, FREEZE, frozen)

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

    def _measure(self) -> None:
        """Note how long it was, just when all go on again."""
        now, names = time.monotonic(), [guest.name for guest in self._guests]
        self._run.outcome.quiet_seconds |= dict.fromkeys(names, now - self._began)
        if any(guest.quiesce for guest in self._guests):
            log.info("held still", guests=names, seconds=round(now - self._began, 3))
        if self._frozen:
            self._run.outcome.frozen_seconds |= dict.fromkeys(names, now - self._frozen)
            log.info("disks were frozen together", guests=names, seconds=round(now - self._frozen, 3))

    def _defect(self, error: Exception) -> PluginBugError:
        plugins = [step.plugin for guest in self._guests for step in (*guest.quiesce, guest.snapshot)]
        names = ", ".join(guest.name for guest in self._guests)
        return PluginBugError(
            f"guest {names}, quiesce: a defect in one of {', '.join(plugins)}: {type(error).__name__}: {error}."
        )
