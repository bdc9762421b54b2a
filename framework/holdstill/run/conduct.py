"""Conduct a run through its phases: the whole of it, or the first half for somebody else's backup."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import structlog

from holdstill.errors import ConfigError, RunInterrupted, UnavailableError
from holdstill.journal.journal import Journal
from holdstill.journal.unwanted import forget_unwanted, is_unwanted
from holdstill.run.job import Job
from holdstill.run.lock import job_lock
from holdstill.run.outcome import Failure, Outcome
from holdstill.run.phases import attempt, end, phase, release, tell
from holdstill.run.recover import BlockedError, clear_the_way, let_go_of
from holdstill.run.run import Run
from holdstill.run.start import Site, begin, resolve
from holdstill.run.unwritten import unwritten
from holdstill.words import RunInfo


def run_job(site: Site, info: RunInfo) -> Outcome:
    """Do a whole job: prepare, expose, backup, release, verify. Raises ConfigError if it has no backup to make."""
    job = resolve(site, info)
    if job.backup is None:
        raise ConfigError(
            [f"The job {info.job!r} has no 'backup', so there is nothing to run; it is for pre and post."]
        )
    with _started(site, info, job) as run:
        good = all(phase(run, name) for name in ("prepare", "expose", "backup"))
        release(run, in_use=good)
        if run.outcome.ok:
            phase(run, "verify")
        return end(run)


def pre(site: Site, info: RunInfo) -> Run:
    """Do the first half: hold and open, then leave it to ``post``; or, failing, leave nothing.

    A ``post`` that comes before that is done does not wait for ever: then nothing is left, either.
    """
    with _started(site, info, resolve(site, info)) as run:
        with site.interruption.going_on_while(partial(_insist_on_being_wanted, site, info)):
            held = all(phase(run, name) for name in ("prepare", "expose"))
            held = held and attempt(run, "expose", lambda: _hand_over(site, run))
        if not held:
            release(run, in_use=False)
            end(run, site.unheard)
        elif not attempt(run, "expose", partial(_insist_on_being_wanted, site, info)):
            site.unheard(run.outcome)  # it had been handed over: a «post» that says so later finds it
            let_go_of(site, info.id)
        if not run.outcome.ok:
            forget_unwanted(site.places.state)
        return run


def _insist_on_being_wanted(site: Site, info: RunInfo) -> None:
    if is_unwanted(site.places.state, info.id):
        raise UnavailableError(
            f"«holdstill post {info.job}» was called before this «pre» was done, so nothing is held."
        )


@contextmanager
def _started(site: Site, info: RunInfo, job: Job) -> Iterator[Run]:
    """Have the job to ourselves, with dead runs' holds out of the way. Everyone is told if that cannot be."""
    with ExitStack() as stack:
        stack.enter_context(structlog.contextvars.bound_contextvars(job=info.job, run=info.id))
        try:
            stack.enter_context(job_lock(site.places.locks, info.job))
            clear_the_way(site, info, job.if_held)
            run = begin(site, info, job)
            site.holding()
        except (Exception, RunInterrupted) as error:
            _refuse(site, info, job, error)
            raise
        yield run


def _refuse(site: Site, info: RunInfo, job: Job, error: BaseException) -> None:
    """Tell of a run that could not even begin."""
    run = unwritten(site, info, job, site.host)
    run.outcome.failures.append(Failure.of("prepare", error))
    run.outcome.still_held = error.still_held if isinstance(error, BlockedError) else []
    tell(run)


def _hand_over(site: Site, run: Run) -> None:
    site.interruption.check()
    assert isinstance(run.journal, Journal)
    outcome, at = run.outcome, site.now()
    run.journal.hand_over(
        at.clock + run.job.lease,
        at.boottime + run.job.lease,
        seconds=outcome.seconds,
        quiet_seconds=outcome.quiet_seconds,
        frozen_seconds=outcome.frozen_seconds,
        applications=outcome.applications,
    )
