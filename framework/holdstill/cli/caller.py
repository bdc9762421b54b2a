"""``holdstill caller NAME JOB``."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from pathlib import Path

import click

from holdstill.callers import File, Target, caller, snippet
from holdstill.cli.output import say
from holdstill.config.guests import guests_of
from holdstill.errors import UsageError
from holdstill.places import Places


@click.command("caller")
@click.argument("name")
@click.argument("job")
@click.option(
    "--file", "only", default="", metavar="FILE", help="Print this file alone, without its heading."
)
@click.pass_obj
def command(places: Places, name: str, job: str, only: str) -> int:
    """Print the configuration with which the backup program NAME calls JOB, for this host: ready to paste.

    Several files follow one another, each after a line that tells where it belongs.
    """
    files: tuple[File, ...] = caller(name).FILES
    if only and only not in {file.name for file in files}:
        raise UsageError(f"{name} has no file {only!r}, but {', '.join(file.name for file in files)}.")
    guests = guests_of(places.config, job)
    target = Target(
        job=job,
        trees=str(places.trees / job),
        guests=guests,
        host=socket.gethostname(),
        holdstill=_command_line(places),
    )
    texts = {file: snippet(name, file, target) for file in files if only in {"", file.name}}
    if not only:
        texts = {file: f"# {file.name}: {file.place}\n{text}" for file, text in texts.items()}
    say("\n".join(texts.values()).removesuffix("\n"))
    return 0


def _command_line(places: Places) -> str:
    """Give how this holdstill is called, with the places that are not the usual ones."""
    program = Path(sys.argv[0])
    if program.name != "holdstill" or not os.access(program, os.X_OK):
        program = Path(sys.executable).with_name("holdstill")
    given = zip(places._fields, places, Places(), strict=True)
    return shlex.join(
        [str(program.absolute()), *(f"--{name}={path}" for name, path, usual in given if path != usual)]
    )
