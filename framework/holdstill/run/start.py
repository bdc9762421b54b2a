"""From the names on the command line to a run that can begin."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from typing import Any

import msgspec

from holdstill.config.load import load
from holdstill.errors import NotFoundError, UsageError
from holdstill.host import Host
from holdstill.host.interruption import Interruption
from holdstill.journal.journal import Journal
from holdstill.journal.records import Header
from holdstill.journal.shelf import Held, Now, boot_id, holds, journals_in, now
from holdstill.journal.story import Story
from holdstill.places import Places
from holdstill.plugins.load import Found, find
from holdstill.plugins.registry import Registry
from holdstill.run.around import recalled, remembered
from holdstill.run.job import Job, Resolver
from holdstill.run.lifecycle import CORE
from holdstill.run.outcome import Outcome
from holdstill.run.run import Run
from holdstill.words import Progress, Role, RunInfo, Step

RELEASE_WITHIN = 60.0
"Seconds to try to let go, where the journal does not say it."


class Site(msgspec.Struct, kw_only=True):
    """What every command of this process works with."""

    places: Places
    host: Host
    plugins: Registry
    interruption: Interruption
    boot: str = msgspec.field(default_factory=boot_id)
    now: Callable[[], Now] = now
    progress: Progress | None = None
    begun: Callable[[], None] = lambda: None
    "Called when what this process is to let go of is being let go of, by this process or another one."
    holding: Callable[[], None] = lambda: None
    "Called when the journal of a new run has begun: from then on its ``post`` waits for us."
    unheard: Callable[[Outcome], None] = lambda _outcome: None
    "Called with how a run has ended whose caller has gone on, while its journal is there: who waits looks for that."
    without: tuple[str, ...] = ()
    "Plugins around jobs that take no part in what this process does, whatever the configuration says."

    def holds(self) -> list[Held]:
        """Give every hold of this host, as it is now, oldest first."""
        return list(holds(self.places.state, self.boot, self.now()))


def registry(places: Places, extra: tuple[Found, ...] = ()) -> Registry:
    """Load all plugins, the framework's own part first."""
    return Registry((CORE, *extra, *find(places.plugins)))


def new_info(site: Site, job: str, session: str = "default") -> RunInfo:
    """Name a new run: its time in UTC, for people, and eight random digits, for two in one second."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(site.now().clock))
    return RunInfo(
        id=f"{stamp}{secrets.token_hex(4)}", job=job, session=session, trees=str(site.places.trees / job)
    )


def resolve(site: Site, info: RunInfo) -> Job:
    """Read the configuration of one job.

    Raises ConfigError with all that is wrong with it, UsageError if what is to take no part could take none.
    """
    for name in site.without:
        if name not in site.plugins.names(Role.AROUND):
            raise UsageError(site.plugins.absent(name, "--without"))
    config, typist, complaints = load(site.places.config)
    try:
        job = Resolver(config, site.plugins, typist, info).job()
    except NotFoundError:
        complaints.raise_any()  # a file that cannot be read hides its jobs
        raise
    complaints.raise_any()
    assert job is not None
    return msgspec.structs.replace(job, around=_taking_part(site, job.around))


def _taking_part(site: Site, around: tuple[Step[Any], ...]) -> tuple[Step[Any], ...]:
    return tuple(step for step in around if step.plugin not in site.without)


def begin(site: Site, info: RunInfo, job: Job) -> Run:
    """Begin the journal of a new run."""
    header = Header(
        id=info.id,
        job=info.job,
        session=info.session,
        trees=info.trees,
        started=site.now().clock,
        boot=site.boot,
        pid=os.getpid(),
        process_session=os.getsid(0),
        release_within=job.release_within,
        around=remembered(job.around),
    )
    journal = Journal.create(journals_in(site.places.state), header)
    return run_of(site, info, journal, job=job)


def run_of(
    site: Site,
    info: RunInfo,
    journal: Journal,
    *,
    job: Job | None = None,
    release_within: float | None = None,
) -> Run:
    """Give the run that a journal is of."""
    site.host.started_for(info.id)
    run = Run(
        info=info,
        host=site.host,
        plugins=site.plugins,
        journal=journal,
        job=job or _left_by(site, journal, info, release_within),
        interruption=site.interruption,
        state=site.places.state,
        progress=site.progress,
    )
    _remember(run.outcome, journal.story)
    return run


def _remember(outcome: Outcome, story: Story) -> None:
    """Put into the outcome what the journal tells of the run so far."""
    outcome.started = story.header.started if story.header else 0
    if so_far := story.handed_over:
        outcome.seconds = dict(so_far.seconds)
        outcome.quiet_seconds = dict(so_far.quiet_seconds)
        outcome.frozen_seconds = dict(so_far.frozen_seconds)
        outcome.applications = list(so_far.applications)


def _left_by(site: Site, journal: Journal, info: RunInfo, release_within: float | None) -> Job:
    """Give what a journal tells of its job: how long to try to let go, and who takes part."""
    header = journal.story.header
    within = header.release_within if header else RELEASE_WITHIN
    return Job(
        groups=(),
        backup=None,
        verify=(),
        around=_taking_part(site, recalled(header.around, info, site.plugins)) if header else (),
        lease=0,
        release_within=within if release_within is None else release_within,
    )
