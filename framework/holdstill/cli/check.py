"""``holdstill check [JOB]``."""

from __future__ import annotations

import os
from contextlib import suppress

import click

from holdstill.cli.common import json_option, site
from holdstill.cli.output import print_json, say, tell
from holdstill.config.load import load
from holdstill.errors import ConfigError, ExitCode, HoldstillError, PermissionRefusedError
from holdstill.journal.shelf import State
from holdstill.places import Places
from holdstill.run.plan import pretend
from holdstill.run.prepare import complaints_of
from holdstill.run.start import Site, new_info, resolve
from holdstill.words import Complaint

ABANDONED = (
    "Nobody works on what a run of it still holds, which may be in the way: «holdstill recover» lets go, "
    "and so does the next run."
)


@click.command("check")
@click.argument("job", required=False)
@json_option
@click.pass_obj
def command(places: Places, job: str | None, as_json: bool) -> int:
    """Validate the configuration, and look at every step of JOB, or of all jobs. Changes nothing.

    Of a job that is held at this moment the configuration alone is looked at: what it holds would be in its own way.
    """
    here = site(places, log_to="terminal", level="error")
    config, _, complaints = load(places.config)
    names, states = [job] if job else list(config.jobs), _states(here)
    held = {name for name, state in states.items() if state is not State.ABANDONED}
    found: dict[str, list[Complaint]] = {}
    wrong: list[str] = []
    for name in names:
        try:
            found[name] = _look(here, name, states.get(name))
        except ConfigError as error:
            wrong += [complaint for complaint in error.complaints if complaint not in wrong]
        except HoldstillError as error:
            found[name] = [Complaint(str(error), error.code)]
    if not names:
        complaints.raise_any()
        wrong.append(f"{places.config}: there are no jobs in this configuration")
    _tell(found, wrong, held, as_json=as_json)
    if wrong:
        return ExitCode.CONFIG
    return next((complaint.code for complaints in found.values() for complaint in complaints), ExitCode.OK)


def _states(here: Site) -> dict[str, State]:
    """Give whose the holds of jobs are, as far as that can be seen: a configuration may be anybody's to check."""
    with suppress(PermissionRefusedError):
        found = sorted(here.holds(), key=lambda held: held.state is not State.ABANDONED)
        return {held.story.header.job: held.state for held in found if held.story.header}
    return {}


def _look(here: Site, name: str, state: State | None) -> list[Complaint]:
    info = new_info(here, name)
    run = pretend(here, info, resolve(here, info))
    if state in {State.LIVING, State.HANDED_OVER}:
        return []
    found = [*_no_journal(here.places), *complaints_of(run)]
    if found and state is State.ABANDONED:
        return [Complaint(ABANDONED, ExitCode.STILL_HELD), *found]
    if not found:  # then what plugins say that take part in the phase
        run.plugins.phase("holdstill_prepare", run=run)
    return found


def _no_journal(places: Places) -> list[Complaint]:
    """Complain of a state folder in which root, who is to run the job, could write nothing."""
    folder = next(place for place in (places.state, *places.state.parents) if place.exists())
    if os.geteuid() != 0 or os.access(folder, os.W_OK):
        return []
    why = f"{folder} cannot be written, and without a journal there no run begins; look at its disk."
    return [Complaint(why, ExitCode.IO)]


def _tell(found: dict[str, list[Complaint]], wrong: list[str], held: set[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"configuration": wrong, "jobs": found})
        return
    for sentence in wrong:
        tell(sentence)
    for name, complaints in found.items():
        for complaint in complaints:
            tell(f"{name}: {complaint.sentence}")
        if not complaints:
            say(f"{name}: {'held now' if name in held else 'ready'}")
