"""``service``: stop the backup software's own service, if it keeps the trees open, and start it again.

A service is stopped when the time of grace is over and one of its own processes still keeps something open that is
to be let go of; else it goes on. It is started again when all is let go of, or has finally failed, also if holdstill
was killed meanwhile. What did not run stays stopped. Several are stopped in order, units first, and started in reverse.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import msgspec
import structlog

from holdstill.plugin import (
    CommandFailedError,
    CommandStuckError,
    Complaint,
    Duration,
    Facts,
    Holder,
    HoldstillError,
    Host,
    Run,
    Step,
    StillHeldError,
    UnavailableError,
    hookimpl,
)
from holdstill_plugins.services import Owns, Script, Service, recalled, unit

log = structlog.get_logger()
T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0
"Seconds between two looks who keeps things open."
STEADY = 1.0
"Seconds that a service must go on running to count as started: systemd calls a simple one started before it is."


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """Which services, and how long for what."""

    units: list[str] = []
    "Services of systemd's, such as ``bacula-fd.service``; a name without an ending is one."
    scripts: list[Script] = []
    "Services that commands stop and start, such as those of init scripts."
    grace: Duration = Duration(60)
    "How long a service may go on to keep things open, so that the job that called us ends well, before it is stopped."
    stop_within: Duration = Duration(120)
    "How long stopping a service may take."
    start_within: Duration = Duration(60)
    "How long starting a service may take before it counts as one that does not come back."

    def __post_init__(self) -> None:
        """Refuse what names no service. Raises ValueError."""
        if not self.services:
            raise ValueError("it names no service: write 'units' or 'scripts'")

    @property
    def services(self) -> tuple[Service, ...]:
        """All services, in the order in which they are stopped."""
        return (*map(unit, self.units), *self.scripts)


class Suspect(NamedTuple):
    """A service that runs, and how to know its processes."""

    service: Service
    owns: Owns

    def among(self, holders: Sequence[Holder]) -> list[Holder]:
        """Give the service's own processes."""
        return [holder for holder in holders if holder.pid and self.owns(str(holder.pid))]


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need services that are there."""
    return [
        complaint
        for step in steps
        for service in step.options.services
        for complaint in service.complaints(host)
    ]


@hookimpl
def holdstill_plan(step: Step[Options]) -> list[str]:
    """Say what may be stopped and started again."""
    return [
        f"{service.name}, if it still keeps something open after {step.options.grace}: "
        f"«{shlex.join(service.stopping)}», and in the end «{shlex.join(service.starting)}»"
        for service in step.options.services
    ]


@hookimpl(wrapper=True)
def holdstill_release(run: Run) -> Generator[None, object, object]:
    """Stop what keeps the trees open before anything is let go of."""
    step = run.around("service")
    failures = _make_way(run, step.options) if step else []
    result = yield
    if failures:
        raise UnavailableError(" ".join(failures))
    return result


def _make_way(run: Run, options: Options) -> list[str]:
    """Stop each service that keeps something open for longer than the time of grace; give what went wrong."""
    failures: list[str] = []
    suspects: list[Suspect] = []
    if not any(holder.pid for holder in run.holders()):
        return failures
    for service in options.services:
        with _noted(failures):
            suspects += _suspect(service, run.host)
    _wait_for(suspects, run, options.grace)
    for suspect in suspects:
        with _noted(failures):
            _stop(suspect, run, options)
    return failures


@contextmanager
def _noted(failures: list[str]) -> Iterator[None]:
    """Go on with the other services after a failure: it is told when all that can be is let go of."""
    try:
        yield
    except HoldstillError as error:
        log.error("not stopped", why=str(error))
        failures.append(str(error))


def _suspect(service: Service, host: Host) -> list[Suspect]:
    owns = _twice(lambda: service.owner(host))
    return [Suspect(service, owns)] if owns else []


def _wait_for(suspects: Sequence[Suspect], run: Run, grace: float) -> None:
    """Wait until no service keeps anything open any more, for the time of grace at most."""
    pause = FIRST_PAUSE
    while grace > 0 and (theirs := [one for suspect in suspects for one in suspect.among(run.holders())]):
        log.debug("waiting for a service to let go", by=list(map(str, theirs)))
        grace -= run.host.pause(min(pause, grace), until=[holder.pid for holder in theirs])
        pause = min(pause * 1.5, LONGEST_PAUSE)


def _stop(suspect: Suspect, run: Run, options: Options) -> None:
    """Stop a service if it still keeps something open, having promised to start it again."""
    service, theirs = suspect.service, suspect.among(run.holders())
    if not theirs:
        return
    if suspect.owns("self"):
        raise UnavailableError(
            f"{service.name} keeps open what is to be let go of ({theirs[0]}), and cannot be stopped: this release "
            f"was started by it and would end with it. Have it call «holdstill post {run.info.job} --detach»."
        )
    log.warning("stopping a service", service=service.name, by=list(map(str, theirs)))
    run.hold("service").promise(
        f"{service.name}, stopped for the release",
        by_hand=service.starting,
        afterwards=True,
        within=int(options.start_within),
        **service.facts(),
    )
    _twice(lambda: run.host.run(*service.stopping, deadline=options.stop_within))


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Start a service, if it does not run, and see to it that it stays. Trying again and again would not help it."""
    service, within = recalled(facts), float(str(facts["within"]))
    if _runs(service, host):
        return
    try:
        if later := _twice(lambda: service.later(host)):
            _twice(lambda: host.run(*later, deadline=within))
            log.info("to be started when this has ended", service=service.name)
            return
        _twice(lambda: host.run(*service.starting, deadline=within))
    except HoldstillError as error:
        raise StillHeldError(f"{service.name} does not come back: {error}") from error
    if not _settles(service, host, within):
        raise StillHeldError(
            f"{service.name} does not come back: «{shlex.join(service.starting)}» succeeded, but it does not run"
        )
    log.info("started again", service=service.name)


def _settles(service: Service, host: Host, within: float) -> bool:
    """Wait until a service runs, and tell whether it does so for more than a moment."""
    pause = FIRST_PAUSE
    while not _runs(service, host):
        if within <= 0:
            return False
        within -= host.pause(min(pause, within))
        pause = min(pause * 1.5, LONGEST_PAUSE)
    host.pause(STEADY)
    return _runs(service, host)


def _runs(service: Service, host: Host) -> bool:
    """Tell whether a service runs. One that cannot be asked is started: that does nothing to one that runs."""
    try:
        return _twice(lambda: service.owner(host)) is not None
    except HoldstillError:
        return False


def _twice(part: Callable[[], T]) -> T:
    """Try once more after a failure: one failed command must not cost a whole night."""
    try:
        return part()
    except (CommandFailedError, CommandStuckError) as error:
        log.warning("trying once more", why=str(error))
        return part()
