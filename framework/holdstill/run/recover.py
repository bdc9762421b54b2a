"""Finish what other processes left: dead runs' holds, and holds that ``pre`` left to ``post``."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from holdstill.errors import ExitCode, StillHeldError, StorageError, UnavailableError
from holdstill.journal.journal import Journal
from holdstill.journal.shelf import Held, State, holds
from holdstill.run.outcome import Failure, Outcome
from holdstill.run.phases import attempt, end, release
from holdstill.run.run import Run
from holdstill.run.start import Site, run_of
from holdstill.words import RunInfo

log = structlog.get_logger()

PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"How long we wait for another process that is finishing a hold which is in our way."


def recover(site: Site) -> list[Outcome]:
    """Finish every abandoned hold of this host. Holds that live, or wait for their ``post``, are not touched."""
    return _finish_all(site, lambda held: held.state is State.ABANDONED)


def post(site: Site, job: str, session: str) -> list[Outcome]:
    """Release what ``pre`` left to us, or what is left of it. Nothing held: nothing to do.

    A ``pre`` or a release of this session that is still at work is waited for; some callers are impatient.
    """
    for pause in PAUSES:
        if not any(held.state is State.LIVING and _is_of(held, job, session) for held in _holds(site)):
            break
        site.host.pause(pause)
    outcomes = _finish_all(site, lambda held: _is_of(held, job, session), asked=True)
    living = [held for held in _holds(site) if held.state is State.LIVING and _is_of(held, job, session)]
    return [*outcomes, *map(_still_at_work, living)]


def _still_at_work(held: Held) -> Outcome:
    why = f"Another process still works on run {held.run}; «holdstill held» tells, and «post» can be called again."
    failure = Failure(phase="release", sentence=why, code=ExitCode.UNAVAILABLE)
    return Outcome(run=held.run, job="", session="", failures=[failure])


def clear_the_way(site: Site, info: RunInfo) -> None:
    """Before a run: finish what dead runs of any job left, and this session's own earlier hold.

    Raises StillHeldError if something of this job cannot be let go of, UnavailableError if it is held for
    another session. The caller has the job's lock.
    """
    _finish_all(site, lambda held: held.state is State.ABANDONED and _job_of(held) == info.job)
    _finish_all(
        site, lambda held: held.state is State.ABANDONED, patience=0
    )  # others' holds must not delay us
    post(site, info.job, info.session)
    for pause in (*PAUSES, None):
        in_the_way = [held for held in _holds(site) if _job_of(held) == info.job]
        if not in_the_way:
            return
        if in_the_way[0].state is not State.LIVING or pause is None:
            break
        site.host.pause(pause)
    raise _refusal(in_the_way[0])


def _refusal(held: Held) -> Exception:
    header = held.story.header
    assert header
    if held.state is State.HANDED_OVER:
        return UnavailableError(
            f"The job {header.job!r} is held for the session {header.session!r} (run {header.id}): "
            f"«holdstill post {header.job} --session {header.session}» lets go of it."
        )
    if held.state is State.LIVING:
        return UnavailableError(
            f"The job {header.job!r} is busy: another process is releasing run {header.id}."
        )
    left = "; ".join(f"{promise.what}: «{promise.by_hand}»" for promise in reversed(held.story.open))
    return StillHeldError(
        f"The job {header.job!r} cannot run: its run {header.id} still holds what could not be let go of ({left})."
    )


def _holds(site: Site) -> list[Held]:
    return list(holds(site.places.state, site.boot, site.clock()))


def _job_of(held: Held) -> str:
    return held.story.header.job if held.story.header else ""


def _is_of(held: Held, job: str, session: str) -> bool:
    header = held.story.header
    return bool(header and header.job == job and header.session == session)


def _finish_all(
    site: Site, wanted: Callable[[Held], bool], *, patience: float | None = None, asked: bool = False
) -> list[Outcome]:
    """Finish every hold that is wanted and nobody's.

    ``patience`` is in seconds, for each, if not the run's own. ``asked`` for by the caller of ``pre``, a hold must
    have lasted until now, whatever its lease and the host's boots.
    """
    outcomes = []
    for held in _holds(site):
        if not wanted(held) or held.state is State.LIVING:
            continue
        if held.story.newer:
            outcomes.append(_left_alone(held))
        elif journal := Journal.take(held.path):
            run = run_of(site, _info(journal), journal, release_within=patience)
            outcomes.append(_finish(run, journal, in_use=asked and held.story.handed_over is not None))
    return outcomes


def _left_alone(held: Held) -> Outcome:
    """A journal that only a newer holdstill can release: say so, and touch nothing."""
    why = f"The journal {held.path} was left alone: {held.story.damage}."
    log.error("left alone", journal=str(held.path), why=held.story.damage)
    failure = Failure(phase="release", sentence=why, code=ExitCode.STILL_HELD)
    return Outcome(run=held.run, job="", session="", failures=[failure])


def _finish(run: Run, journal: Journal, *, in_use: bool) -> Outcome:
    """Release one hold that is ours now."""
    with structlog.contextvars.bound_contextvars(job=run.info.job, run=run.info.id):
        if journal.story.damage:
            attempt(run, "release", lambda: _set_aside(journal))
        release(
            run, in_use=in_use, session=journal.story.header.process_session if journal.story.header else 0
        )
        return end(run)


def _set_aside(journal: Journal) -> None:
    kept = journal.set_aside()
    raise StorageError(
        f"The journal {journal.path} is damaged: {journal.story.damage}. What could be read of it was let go of; "
        f"it is kept as {kept}: look in it for what else the run may hold."
    )


def _info(journal: Journal) -> RunInfo:
    header = journal.story.header
    if header is None:
        return RunInfo(id=journal.path.stem, job="", session="", trees="")
    return RunInfo(id=header.id, job=header.job, session=header.session, trees=header.trees)
