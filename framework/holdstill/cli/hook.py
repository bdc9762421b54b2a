"""``holdstill hook NAME …``."""

from __future__ import annotations

import os

import click

from holdstill.callers import Call, Given, hook_of, is_silent
from holdstill.cli.common import RUN_SESSION, session_key, within_option
from holdstill.cli.output import hush, say
from holdstill.errors import UsageError
from holdstill.places import Places


def _one(_ctx: click.Context, _parameter: click.Parameter, given: tuple[str, ...]) -> str:
    """Take no second job: a rule of sudo's that names the first cannot tell a word of the caller's from an option."""
    if len(given) > 1:
        raise UsageError("--job is given more than once: a hook is called for one job.")
    return "".join(given)


@click.command(
    "hook",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option(
    "--job",
    multiple=True,
    callback=_one,
    metavar="JOB",
    help="The job, where the caller's arguments do not name it.",
)
@within_option
@click.argument("caller")
@click.argument("words", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(places: Places, job: str, within: float | None, caller: str, words: tuple[str, ...]) -> int:
    """Do what the hook of the backup program CALLER asks for.

    WORDS are its own arguments, just as it gives them; what else it says is in its environment. They tell whether
    this is «pre» or «post», for which session, and what to print. «holdstill caller CALLER JOB» prints how it is
    configured. A link to holdstill that is named «holdstill-CALLER» or «holdstill-CALLER.JOB» calls this, too, and
    so does one with the name of a program that CALLER itself looks for, such as «create_filesystem_snapshot.JOB».
    """
    if is_silent(caller):
        hush()
    call = hook_of(caller)(Given(job, words, os.environ, str(places.trees)))
    call = call._replace(session=_session(caller, call.session), within=within or call.within)
    if call.do and not call.job:
        raise UsageError(f"Which job? «holdstill hook --job=JOB {caller} …» names it.")
    code = _do(places, call)
    if call.says and not code:
        say(call.says)
    return code


def _session(caller: str, key: str) -> str:
    """A policy, a profile or a backup may well be named as the session of runs is: nobody chose that as a key."""
    return session_key(f"{caller}/{key}" if key == RUN_SESSION else key)


def _do(places: Places, call: Call) -> int:
    if call.do == "pre":
        from holdstill.cli.pre import hold

        return hold(places, call)
    if call.do == "post":
        from holdstill.cli.post import let_go, verdict

        return verdict(let_go(places, call))
    return 0
