"""From the names on the command line to a run that can begin."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable

import msgspec

from holdstill.config.load import load
from holdstill.errors import NotFoundError
from holdstill.host import Host
from holdstill.host.interruption import Interruption
from holdstill.journal.journal import Journal
from holdstill.journal.records import Header
from holdstill.journal.shelf import boot_id, journals_in
from holdstill.places import Places
from holdstill.plugins.load import Found, find
from holdstill.plugins.registry import Registry
from holdstill.run.job import Job, Resolver
from holdstill.run.lifecycle import CORE
from holdstill.run.run import Run
from holdstill.words import Progress, RunInfo


class Site(msgspec.Struct, kw_only=True):
    """What every command of this process works with."""

    places: Places
    host: Host
    plugins: Registry
    interruption: Interruption
    boot: str = msgspec.field(default_factory=boot_id)
    clock: Callable[[], float] = time.time
    "Seconds since the epoch."
    progress: Progress | None = None


def registry(places: Places, extra: tuple[Found, ...] = ()) -> Registry:
    """Load all plugins, the framework's own part first."""
    return Registry((CORE, *extra, *find(places.plugins)))


def new_info(site: Site, job: str, session: str = "default") -> RunInfo:
    """Name a new run: its time in UTC, for people, and eight random digits, for two in one second."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(site.clock()))
    return RunInfo(
        id=f"{stamp}{secrets.token_hex(4)}", job=job, session=session, trees=str(site.places.trees / job)
    )


def resolve(site: Site, info: RunInfo) -> Job:
    """Read the configuration of one job. Raises ConfigError with all that is wrong with it."""
    config, typist, complaints = load(site.places.config)
    try:
        job = Resolver(config, site.plugins, typist, info).job()
    except NotFoundError:
        complaints.raise_any()  # a file that cannot be read hides its jobs
        raise
    complaints.raise_any()
    assert job is not None
    return job


def begin(site: Site, info: RunInfo, job: Job) -> Run:
    """Begin the journal of a new run."""
    header = Header(
        id=info.id,
        job=info.job,
        session=info.session,
        trees=info.trees,
        started=site.clock(),
        boot=site.boot,
        pid=os.getpid(),
        process_session=os.getsid(0),
        release_within=job.release_within,
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
    if release_within is None:
        release_within = journal.story.header.release_within if journal.story.header else 60
    return Run(
        info=info,
        host=site.host,
        plugins=site.plugins,
        journal=journal,
        job=job,
        interruption=site.interruption,
        release_within=release_within,
        progress=site.progress,
    )
