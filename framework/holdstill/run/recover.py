"""Finish what other processes left: dead runs' holds, and holds that ``pre`` left to ``post``."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from holdstill.config.load import load
from holdstill.errors import ExitCode, HoldstillError, StillHeldError, StorageError, UnavailableError
from holdstill.journal.journal import Journal
from holdstill.journal.records import last_first
from holdstill.journal.shelf import Held, State, journals_in
from holdstill.journal.unborn import remove_unborn
from holdstill.journal.unwanted import forget_unwanted, say_unwanted
from holdstill.journal.verdicts import Verdict, leave_verdict, take_verdicts
from holdstill.run.openers import openers_of
from holdstill.run.outcome import CallerVerdict, Failure, Outcome
from holdstill.run.outcome import Held as StillHeld
from holdstill.run.phases import attempt, end, release
from holdstill.run.run import Run, info_of
from holdstill.run.start import Site, run_of
from holdstill.run.strays import stray_outcomes, was_damaged
from holdstill.words import RunInfo

log = structlog.get_logger()


class BlockedError(StillHeldError):
    """A job cannot run, as an earlier run of it still holds what could not be let go of."""

    def __init__(self, held: Held) -> None:
        story = held.story
        by = f"; it was kept open by {', '.join(story.kept_open)}" if story.kept_open else ""
        why = f"run {held.run} could not let go of it{by}"
        self.still_held = [
            StillHeld(what=promise.what, by_hand=promise.by_hand, why=why)
            for promise in last_first(story.open)
        ]
        left = ", ".join(one.what for one in self.still_held)
        super().__init__(
            f"The job {_job_of(held)!r} cannot run: its run {held.run} still holds what could not be let go of "
            f"({left}{by}). «holdstill held {_job_of(held)}» tells how to let go."
        )


PAUSES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"How long we wait for another process that is finishing a hold which is in our way."


def recover(site: Site, *, asked_for_strays: bool = False) -> list[Outcome]:
    """Finish every abandoned hold of this host. Holds that live, or wait for their ``post``, are not touched.

    Then tell of strays, if somebody asks, or a journal was damaged and so did not tell all.
    """
    outcomes = _finish_all(site, lambda held: held.state is State.ABANDONED)
    forget_unwanted(site.places.state)
    remove_unborn(journals_in(site.places.state))
    return [*outcomes, *(stray_outcomes(site) if asked_for_strays or was_damaged(site) else ())]


def post(
    site: Site, job: str, session: str, verdict: CallerVerdict | None = CallerVerdict.UNKNOWN
) -> list[Outcome]:
    """Release what ``pre`` left to us, or what is left of it. Nothing held: nothing to do.

    A ``pre`` or a release of this session that is still at work is waited for; some callers are impatient. A ``pre``
    is told, too, so that it lets go itself if it takes longer. What became of a hold without us is told like what
    becomes of one with us. Without a ``verdict`` nobody called it, and there is no knowing what became of the caller's
    backup.
    """
    for pause in PAUSES:
        if not (at_work := _at_work(site, job, session)) or not site.interruption.left:
            break
        if verdict:
            _say_unwanted(site, at_work)
        site.begun()
        site.host.pause(pause)
    outcomes = _finish_all(site, lambda held: _is_of(held, job, session), verdict=verdict)
    forget_unwanted(site.places.state)
    if verdict and not outcomes:
        _need_to_know_all(site)
    site.begun()
    ours = (
        {outcome.run for outcome in outcomes} if verdict else set()
    )  # what is kept of them is for who waits
    without_us = list(map(_spoiled, take_verdicts(site.places.state, job, session, but=ours)))
    for outcome in without_us if verdict else ():
        site.unheard(outcome)
    found = [*without_us, *outcomes, *map(_still_at_work, _at_work(site, job, session))]
    if verdict and not found:
        _need_to_know_the_job(site, job)
    return found


def _at_work(site: Site, job: str, session: str) -> list[Held]:
    return [held for held in site.holds() if held.state is State.LIVING and _is_of(held, job, session)]


def _say_unwanted(site: Site, at_work: list[Held]) -> None:
    """Tell each ``pre`` among them. It looks for that once more when it has handed over, and so frees the journal.

    So if it does not see it, our own next look finds a hold that is nobody's.
    """
    for held in at_work:
        try:
            if not held.story.handed_over:
                say_unwanted(site.places.state, held.run)
        except StorageError as error:
            log.warning("a pre that is at work cannot be told", run=held.run, why=str(error))


def _need_to_know_all(site: Site) -> None:
    """Raise StorageError if what nobody can read could be what is asked for: that is not «nothing is held»."""
    for held in site.holds():
        if held.story.header is None and held.story.damage:
            raise StorageError(
                f"The journal {held.path} may be of what is to be let go of, and does not tell: {held.story.damage}. "
                "«holdstill held --strays» tells what is there."
            )


def _need_to_know_the_job(site: Site, job: str) -> None:
    """Raise NotFoundError if neither a journal nor the configuration knows the job: its name is misspelt.

    A configuration that cannot be read, or is wrong, might have it; letting go depends on none.
    """
    if any(_job_of(held) == job for held in site.holds()):
        return
    try:
        config, _, complaints = load(site.places.config)
        complaints.raise_any()
    except HoldstillError:
        return
    config.job(job)


def _spoiled(verdict: Verdict) -> Outcome:
    failure = Failure(phase="release", sentence=verdict.sentence, code=ExitCode.BACKUP_FAILED)
    return Outcome(run=verdict.run, job=verdict.job, session=verdict.session, failures=[failure])


def _still_at_work(held: Held) -> Outcome:
    rest = "and «post» can be called again" if held.story.handed_over else "which lets go of it when it can"
    why = f"Another process still works on run {held.run}, {rest}; «holdstill held --wait» waits for its end."
    log.error("not let go of", run=held.run, why=why)
    failure = Failure(phase="release", sentence=why, code=ExitCode.UNAVAILABLE)
    return Outcome(run=held.run, job="", session="", failures=[failure])


def let_go_of(site: Site, run: str) -> None:
    """Let go of what one run has handed over, if nobody else does."""
    _finish_all(site, lambda held: held.run == run)


def clear_the_way(site: Site, info: RunInfo, if_held: str = "fail") -> None:
    """Before a run: finish what dead runs of any job left, this session's own earlier hold, and, if told to, others'.

    Raises StillHeldError if something of this job cannot be let go of, UnavailableError if it is held for
    another session. The caller has the job's lock.
    """
    _finish_all(site, lambda held: held.state is State.ABANDONED and _job_of(held) == info.job)
    _finish_all(
        site, lambda held: held.state is State.ABANDONED, patience=0
    )  # others' holds must not delay us
    post(site, info.job, info.session, verdict=None)
    if if_held != "fail":
        _take_over(site, info, even_if_read=if_held == "take")
    for pause in (*PAUSES, None):
        in_the_way = [held for held in site.holds() if _job_of(held) == info.job]
        if not in_the_way:
            return
        if in_the_way[0].state is not State.LIVING or pause is None:
            break
        site.interruption.check()
        site.host.pause(pause)
    raise _refusal(in_the_way[0])


def _take_over(site: Site, info: RunInfo, *, even_if_read: bool) -> None:
    """Let go of what the job holds for other sessions; their callers are taken for dead. Their ``post`` is told.

    Raises UnavailableError if somebody reads it, ``even_if_read`` not being said.
    """
    for held in site.holds():
        if _job_of(held) != info.job or held.state is not State.HANDED_OVER:
            continue
        readers = openers_of(held.story.open, site.plugins, site.host)
        if readers and not even_if_read:
            raise UnavailableError(f"{_refusal(held)} It is read by {', '.join(map(str, readers))}.")
        log.warning("taken over", run=held.run, session=info.session, readers=list(map(str, readers)))
    _finish_all(
        site,
        lambda held: held.state is State.HANDED_OVER and _job_of(held) == info.job,
        taken_by=info.session,
    )


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
    return BlockedError(held)


def _job_of(held: Held) -> str:
    return held.story.header.job if held.story.header else ""


def _is_of(held: Held, job: str, session: str) -> bool:
    header = held.story.header
    return bool(header and header.job == job and header.session == session)


def _finish_all(
    site: Site,
    wanted: Callable[[Held], bool],
    *,
    patience: float | None = None,
    verdict: CallerVerdict | None = None,
    taken_by: str = "",
) -> list[Outcome]:
    """Finish every hold that is wanted and nobody's.

    ``patience`` is in seconds, for each, if not the run's own. With the ``verdict`` of the caller of ``pre``, a hold
    must have lasted until now, whatever its lease and the host's boots. ``taken_by`` is a session that others make
    way for.
    """
    outcomes = []
    for held in site.holds():
        if not wanted(held) or held.state is State.LIVING:
            continue
        if held.story.newer:
            outcomes.append(_left_alone(held))
        elif journal := _taken(held, outcomes, needed=verdict is not None):
            site.begun()
            if taken_by or (held.state is State.ABANDONED and not verdict):
                _leave_word(site, journal, taken_by)
            run = run_of(site, _info(journal), journal, release_within=patience)
            outcomes.append(_finish(site, run, journal, verdict))
    return outcomes


def _taken(held: Held, outcomes: list[Outcome], *, needed: bool) -> Journal | None:
    """Take a journal, if nobody has it. Of one that cannot be taken it is told, and the others are finished.

    Raises StorageError for one that is ``needed``.
    """
    try:
        return Journal.take(held.path)
    except StorageError as error:
        if needed:
            raise StorageError(f"{error} {_by_hand(held)}") from None
        log.error("left alone", journal=str(held.path), why=str(error))
        outcomes.append(_not_taken(held, error))
        return None


def _by_hand(held: Held) -> str:
    if held.story.open:
        return "Look at its disk; «holdstill held» tells how to let go by hand."
    return "Look at its disk; «holdstill held --strays» tells what runs have left."


def _not_taken(held: Held, error: StorageError) -> Outcome:
    """Tell of a journal that cannot be taken, and, as far as it can be read, of what its run holds."""
    failure = Failure(phase="release", sentence=f"{error} {_by_hand(held)}", code=error.code)
    still = [
        StillHeld(what=promise.what, by_hand=promise.by_hand, why="its journal cannot be taken")
        for promise in last_first(held.story.open)
    ]
    header = held.story.header
    job, session = (header.job, header.session) if header else ("", "")
    return Outcome(run=held.run, job=job, session=session, failures=[failure], still_held=still)


def _leave_word(site: Site, journal: Journal, taken_by: str) -> None:
    """Let a ``post`` that is still to come know that its backup read on while this was let go of."""
    header, lease = journal.story.header, journal.story.handed_over
    if not (header and lease and lease.lease_ends):
        return
    why = "its lease had ended" if header.boot == site.boot else "the machine had booted"
    why = f"the session {taken_by!r} took over" if taken_by else why
    sentence = (
        f"What run {header.id} held was let go of before its post came, as {why}: "
        "the backup that read it is not good."
    )
    try:
        leave_verdict(
            site.places.state,
            Verdict(run=header.id, job=header.job, session=header.session, sentence=sentence),
        )
    except StorageError as error:
        log.warning("a late post will not learn of this", run=header.id, why=str(error))


def _left_alone(held: Held) -> Outcome:
    """A journal that only a newer holdstill can release: say so, and touch nothing."""
    why = f"The journal {held.path} was left alone: {held.story.damage}."
    log.error("left alone", journal=str(held.path), why=held.story.damage)
    failure = Failure(phase="release", sentence=why, code=ExitCode.STILL_HELD)
    return Outcome(run=held.run, job="", session="", failures=[failure])


def _finish(site: Site, run: Run, journal: Journal, called: CallerVerdict | None) -> Outcome:
    """Release one hold that is ours now; if ``called``, by its caller, who has read what was handed over until now."""
    verdict = called if journal.story.handed_over else None
    run.outcome.recovered, run.outcome.caller_verdict = verdict is None, verdict
    with structlog.contextvars.bound_contextvars(job=run.info.job, run=run.info.id):
        if verdict:
            log.info("called", verdict=str(verdict))
        if journal.story.damage:
            attempt(run, "release", lambda: _tell_of_damage(journal))
        release(
            run,
            in_use=verdict is not None,
            session=journal.story.header.process_session if journal.story.header else 0,
        )
        return end(run, site.unheard) if called else end(run)


def _tell_of_damage(journal: Journal) -> None:
    raise StorageError(
        f"The journal {journal.path} is damaged: {journal.story.damage}. What can be read of it is let go of; then it "
        f"is kept as {journal.kept_as}: «holdstill held --strays» tells what else is there; then remove that file."
    )


def _info(journal: Journal) -> RunInfo:
    header = journal.story.header
    if header is None:
        return RunInfo(id=journal.path.stem, job="", session="", trees="")
    return info_of(header)
