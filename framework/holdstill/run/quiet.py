"""The time in which a guest's applications are quiet."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from types import TracebackType

from holdstill.errors import HoldstillError, PluginBugError
from holdstill.run.job import Guest
from holdstill.run.run import Run


class Quiet:
    """Enters a guest's quiesce steps in order, and leaves them in reverse: always all, and never interrupted."""

    def __init__(self, run: Run, guest: Guest) -> None:
        self._run = run
        self._guest = guest
        self._stack = ExitStack()

    def __enter__(self) -> None:
        try:
            for step in self._guest.quiesce:
                self._stack.enter_context(self._run.call(step, "holdstill_quiesce"))
        except BaseException as error:
            self.__exit__(*sys.exc_info())
            if isinstance(error, Exception) and not isinstance(error, HoldstillError):
                raise self._defect(error) from error
            raise

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

    def _defect(self, error: Exception) -> PluginBugError:
        names = ", ".join(step.plugin for step in self._guest.quiesce)
        return PluginBugError(
            f"guest {self._guest.name}, quiesce: a defect in one of {names}: {type(error).__name__}: {error}."
        )
