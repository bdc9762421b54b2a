"""Do one phase of a run, and note how it went."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import structlog

from holdstill.errors import ExitCode, HoldstillError, PluginBugError, RunInterrupted
from holdstill.host.service_manager import notify
from holdstill.journal.journal import Journal
from holdstill.run.orphans import commands_left
from holdstill.run.outcome import Failure, Outcome
from holdstill.run.release import keep_all, let_go, still_held_well
from holdstill.run.run import Run

log = structlog.get_logger()


def phase(run: Run, name: str) -> bool:
    """Do one phase with every plugin that takes part; tell whether all is well."""
    log.info(name)
    notify(f"STATUS={name}")
    began = time.monotonic()
    good = attempt(run, name, lambda: run.plugins.phase(f"holdstill_{name}", run=run))
    run.outcome.seconds[name] = time.monotonic() - began
    return good


def attempt(run: Run, name: str, part: Callable[[], None]) -> bool:
    """Do a part of a phase; whatever it raises becomes a failure of the run. Tell whether all is well."""
    try:
        part()
    except (HoldstillError, RunInterrupted) as error:
        failed = log.exception if isinstance(error, PluginBugError) else log.error
        failed("failed", phase=name, why=str(error))
        run.outcome.failures.append(Failure.of(name, error))
    except Exception as error:
        log.exception("a defect", phase=name)
        sentence = f"A defect in holdstill ({type(error).__name__}: {error}); the traceback is in the log."
        run.outcome.failures.append(Failure(phase=name, sentence=sentence, code=ExitCode.BUG))
    return not run.outcome.failures


def release(run: Run, *, in_use: bool, session: int = 0) -> None:
    """Let go in peace, whatever a plugin that takes part in the phase does.

    ``in_use`` says that somebody read what was held until now: then it must have held to the end. Otherwise
    something went wrong, and a command of the run's may still be at work, in ``session`` or in our own; if all was
    exposed, that it did not hold may be why.
    """
    with run.interruption.shield():
        attempt(run, "release", lambda: _release(run, in_use=in_use, session=session or os.getsid(0)))
        if run.journal.open_promises and not run.outcome.still_held:
            keep_all(run, "letting go of it failed by a defect")


def _release(run: Run, *, in_use: bool, session: int) -> None:
    if not in_use and (left := commands_left(run, session)):
        keep_all(run, f"a command of the run is still at work (pid {left[0]})")
        return
    if in_use or run.exposed:
        attempt(run, "release", lambda: still_held_well(run))
    phase(run, "release")
    if run.journal.open_promises and not run.outcome.still_held:
        let_go(run)


def end(run: Run, unheard: Callable[[Outcome], None] = lambda _outcome: None) -> Outcome:
    """Close the journal if nothing is held any more, and tell everyone how it ended.

    ``unheard`` keeps it for who does not hear it now; whoever sees the journal gone finds it.
    """
    unheard(run.outcome)
    if isinstance(run.journal, Journal):
        if run.journal.open_promises:
            run.journal.leave()
        else:
            run.journal.close()
    tell(run)
    return run.outcome


def tell(run: Run) -> None:
    """Tell everyone how a run ended, in peace: who asks it to stop wants that to be known, too."""
    with run.interruption.shield():
        failed = run.plugins.tell("holdstill_finished", run=run, outcome=run.outcome)
    for error in failed:
        trace = error if isinstance(error, PluginBugError) else None
        log.error("a plugin failed when it heard of the end", why=str(error), exc_info=trace)
