"""``reboot``: restart a host on which something cannot be let go of, so that its next backup can run.

Only when a release has finally failed, and never twice within a time. Those who are logged in are warned, and
``holdstill reboot --cancel`` calls it off. It is called off, too, if all is let go of meanwhile, and when a job
begins during which there must be no reboot. After the boot, ``recover`` tells whether it helped. Without ``really``
it is an alarm only.
"""

from __future__ import annotations

import math
import shlex
import time
from pathlib import Path

import click
import msgspec
import structlog

from holdstill.plugin import (
    Complaint,
    Duration,
    HoldstillError,
    Host,
    NotFoundError,
    Outcome,
    Run,
    Step,
    hookimpl,
    missing_tools,
)
from holdstill_plugins.reboots import Asked, Ledger, boot, clock, scheduled

log = structlog.get_logger()


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="kebab", forbid_unknown_fields=True):
    """When a reboot is asked for, and how."""

    really: bool = False
    "Ask for the reboot; otherwise only tell that it would be, and what for."
    delay: Duration = Duration(600)
    "How long until then; whole minutes."
    message: str = "holdstill could not let go of what the job {job} held, which blocks its next backup."
    "What those who are logged in are told. ``{job}`` is the job's name; the run's id is added."
    command: str | list[str] = "shutdown -r +{minutes} {message}"
    "The command that asks for it and returns at once. ``{minutes}``, ``{seconds}`` and ``{message}`` are filled in."
    cancel: str | list[str] = "shutdown -c"
    "The command that calls it off."
    at_most_every: Duration = Duration(24 * 3600)
    "The shortest time between two reboots that are asked for, whatever became of the first."
    never_during: list[str] = []
    "Jobs during whose runs and holds there is to be no reboot."

    def asking(self, run: str, job: str) -> list[str]:
        """Give the words of the command."""
        message = f"{self.message.replace('{job}', job)} Call it off: holdstill reboot --cancel ({run})"
        filled = {
            "{minutes}": str(max(1, math.ceil(self.delay / 60))),
            "{seconds}": str(math.ceil(self.delay)),
            "{message}": message,
        }
        words = _words(self.command)
        for name, value in filled.items():
            words = [word.replace(name, value) for word in words]
        return words

    def __post_init__(self) -> None:
        """Refuse commands that are none, or that would not be known again. Raises ValueError."""
        command = _words(self.command)
        if not command or not _words(self.cancel):
            raise ValueError("'command' or 'cancel' names no program")
        if _is_logind(command) and not any("{message}" in word for word in command):
            raise ValueError("'command' needs {message}: by it the reboot is known as holdstill's")


def _is_logind(command: list[str]) -> bool:
    """Whether systemd-logind keeps the reboot that a command asks for: then what it does not tell of is called off."""
    return command[0].rpartition("/")[2] == "shutdown"


def _words(written: str | list[str]) -> list[str]:
    return shlex.split(written) if isinstance(written, str) else list(written)


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need the commands."""
    commands = [
        _words(written)
        for step in steps
        if step.options.really
        for written in (step.options.command, step.options.cancel)
    ]
    return missing_tools(host, *dict.fromkeys(command[0] for command in commands if command))


@hookimpl
def holdstill_plan(step: Step[Options]) -> list[str]:
    """Say what would be done if something could not be let go of."""
    command = shlex.join(step.options.asking(step.run.id, step.run.job))
    return [
        f"if something is still held in the end: {'' if step.options.really else 'an alarm instead of '}«{command}»"
    ]


@hookimpl
def holdstill_expose(run: Run) -> None:
    """Call a reboot off that must not be during this job. If that fails, the job is done all the same."""
    try:
        ledger = Ledger(run.folder_of("reboot"), run.host)
        asked = ledger.pending
        if asked and run.info.job in asked.never_during:
            ledger.call_off(asked)
            log.warning("the reboot was called off", during=run.info.job, asked_for_by=asked.job)
    except HoldstillError as error:
        log.error("a reboot may come during this job", why=str(error))


@hookimpl(tryfirst=True)
def holdstill_finished(run: Run, outcome: Outcome) -> None:
    """Ask for a reboot if something is still held; tell of the last one. First, so that others tell it, too.

    A service that does not come back blocks no backup for long, and is no reason; nor is a hold that another job's
    run tried to let go of in passing, without time to wait.
    """
    step = run.around("reboot")
    if step is None:
        return
    blocked = any(not held.afterwards for held in outcome.still_held) and run.job.release_within > 0
    try:
        ledger = Ledger(run.folder_of("reboot"), run.host)
        with ledger.locked():
            _look_back(ledger, run, outcome)
            if blocked:
                _note(outcome, _ask_for(ledger, run, step.options))
    except HoldstillError as error:
        _note(outcome, f"Nothing was done about a reboot: {error}")


def _note(outcome: Outcome, sentence: str) -> None:
    log.error(sentence)
    outcome.notes.append(sentence)


def _look_back(ledger: Ledger, run: Run, outcome: Outcome) -> None:
    """Tell whether the reboot for this run helped; call it off if it is not needed any more."""
    asked = ledger.last
    if asked is None or asked.over or asked.run != run.info.id:
        return
    if asked.boot != boot(run.host):
        helped = "did not help" if outcome.still_held else "helped: all that it held is let go of"
        _note(outcome, f"The reboot that run {asked.run} asked for at {clock(asked.at)} {helped}.")
        ledger.close(asked)
    elif not outcome.still_held and ledger.pending:
        ledger.call_off(asked)
        _note(outcome, f"The reboot at {asked.when} was called off: all is let go of.")


def _ask_for(ledger: Ledger, run: Run, options: Options) -> str:
    """Ask for a reboot unless something speaks against it; say what was done."""
    command = options.asking(run.info.id, run.info.job)
    if pending := ledger.pending:
        return _announced(pending)
    if why_not := _why_not(ledger, run, options):
        return f"There will be no reboot: {why_not}."
    if not options.really:
        return f"A reboot would let go of it; it is not asked for, as 'really' is not set: «{shlex.join(command)}»."
    now = time.time()
    asked = Asked(
        run=run.info.id,
        job=run.info.job,
        at=now,
        due=now + options.delay,
        boot=boot(run.host),
        cancel=_words(options.cancel),
        never_during=options.never_during,
        logind=_is_logind(command),
    )
    ledger.write(asked)
    try:
        run.host.run(*command, deadline=30)
    except HoldstillError as error:
        return f"A reboot would let go of it, and could not be asked for: {error}."
    return _announced(asked)


def _announced(asked: Asked) -> str:
    return f"The host reboots at {asked.when} to let go of it; «holdstill reboot --cancel» calls it off."


def _why_not(ledger: Ledger, run: Run, options: Options) -> str:
    """Say what speaks against a reboot now; empty if nothing does."""
    important = [other.job for other in run.others() if other.job in options.never_during]
    if important:
        return f"the job {important[0]!r} is at work"
    last = ledger.last
    if last and time.time() - last.at < options.at_most_every:
        return f"the last one was asked for at {clock(last.at)}, less than {options.at_most_every} ago"
    there = scheduled(run.host)
    return f"somebody has scheduled {there.title} already" if there else ""


@hookimpl
def holdstill_command(host: Host, folder: Path) -> click.Command:
    """Give «holdstill reboot»."""

    @click.command("reboot")
    @click.option(
        "--cancel", is_flag=True, help="Call off the reboot that holdstill asked for, and no other."
    )
    def command(cancel: bool) -> None:
        """Tell which reboot is scheduled, by holdstill or by somebody else."""
        ledger = Ledger(folder, host)
        if not cancel:
            click.echo(_told(ledger, host))
        elif asked := ledger.pending:
            ledger.call_off(asked)
            click.echo(f"The reboot at {asked.when} is called off.")
        else:
            raise NotFoundError(_told(ledger, host))

    return command


def _told(ledger: Ledger, host: Host) -> str:
    """Say what is scheduled."""
    if asked := ledger.pending:
        return (
            f"The host reboots at {asked.when}: run {asked.run} of job {asked.job} could not let go of what it held. "
            "«holdstill reboot --cancel» calls it off."
        )
    if there := scheduled(host):
        return f"Somebody else has scheduled {there.title}; «shutdown -c» calls it off."
    return "No reboot is scheduled."
