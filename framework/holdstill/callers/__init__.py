"""Backup software that calls holdstill: a module each, found by its name, and imported when it is asked for.

A caller's module has ``FILES``: what a site pastes into its configuration (``holdstill caller NAME JOB``), from
``texts/NAME``. A caller that speaks in arguments or in an environment of its own also has ``hook``, which tells what
it wants of us (``holdstill hook NAME …``), and ``SILENT`` if that must print nothing, of a failure neither. Light to
import: a hook waits for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

TREE = "@TREE@"
"A line of a text with this in it is repeated for each guest's tree."

PROGRAMS = {
    "bpstart_notify": "netbackup",
    "bpend_notify": "netbackup",
    "create_filesystem_snapshot": "urbackup",
    "remove_filesystem_snapshot": "urbackup",
}
"Callers that look for a program of a fixed name, by that name: whose it is."


class Call(NamedTuple):
    """What a caller wants of us."""

    do: str = ""
    "``pre``, ``post``, or nothing: some callers call for each of their steps."
    job: str = ""
    session: str = "default"
    form: str = "none"
    "How ``pre`` prints where the guests' files are, of those that ``pre --print`` knows."
    verdict: str = "unknown"
    "What it says of its backup, when it calls ``post``: ``ok``, ``failed`` or ``unknown``."
    says: str = ""
    "What is printed when that is done, or when there is nothing to do."
    within: float | None = None
    "Seconds that the caller gives ``pre``, before it kills it, or goes on without it."


class Given(NamedTuple):
    """What a caller hands over."""

    job: str
    "The job that our command line names; empty if it is the caller's words that name it."
    words: Sequence[str]
    "The caller's own arguments."
    environment: Mapping[str, str]
    trees: str = "/run/holdstill"
    "The folder with the trees of all jobs."


Hook = Callable[[Given], Call]
"A caller's ``hook``. Raises UsageError if what it is given cannot be a call of this caller."


class Target(NamedTuple):
    """What a snippet is written for."""

    job: str
    trees: str
    "The folder with the job's trees."
    guests: tuple[str, ...]
    host: str = "xen1"
    "This host's name."
    holdstill: str = "/usr/local/sbin/holdstill"
    "The command line that begins every call of ours, as a shell would read it."


class File(NamedTuple):
    """A file of a caller's configuration, or a part of one."""

    name: str
    "What it is called in ``texts/NAME`` and in ``contrib/NAME``."
    place: str
    "Where it belongs, for people."


def names() -> list[str]:
    """Give the names of all callers, without importing them."""
    import pkgutil

    return sorted(found.name.replace("_", "-") for found in pkgutil.iter_modules(__path__))


def caller(name: str) -> ModuleType:
    """Import a caller's module. Raises UsageError if there is none of that name."""
    if name not in names():
        from holdstill.errors import UsageError
        from holdstill.text import nearest

        known = ", ".join(names())
        raise UsageError(f"No caller is known as {name!r}{nearest(name, names()) or '.'} Known are: {known}.")
    return importlib.import_module(f"{__name__}.{name.replace('-', '_')}")


def hook_of(name: str) -> Hook:
    """Give a caller's hook. Raises UsageError if it has none, or there is no such caller."""
    hook: Hook | None = getattr(caller(name), "hook", None)
    if hook is None:
        from holdstill.errors import UsageError

        raise UsageError(f"{name} calls «holdstill pre» and «holdstill post» themselves; it has no hook.")
    return hook


def is_silent(name: str) -> bool:
    """Tell whether a caller's hook must print nothing, of a failure neither."""
    return getattr(caller(name), "SILENT", False)


def snippet(name: str, file: File, target: Target) -> str:
    """Write one of a caller's files."""
    from importlib.resources import files

    text = (files(__name__) / "texts" / name / file.name).read_text()
    trees = [f"{target.trees}/{guest}" for guest in target.guests]
    lines = [
        line.replace(TREE, tree)
        for line in text.splitlines(keepends=True)
        for tree in (trees if TREE in line else [""])
    ]
    words = {
        "@JOB@": target.job,
        "@TREES@": target.trees,
        "@TREES_PATTERN@": target.trees.replace(".", "[.]"),
        "@HOST@": target.host,
        "@HOLDSTILL@": target.holdstill,
    }
    written = "".join(lines)
    for word, value in words.items():
        written = written.replace(word, value)
    return written


def words_of(program: str, words: Sequence[str]) -> list[str]:
    """Give the command line for the name that we were called by.

    As ``holdstill-NAME``, or ``holdstill-NAME.JOB``, we are the hook of the caller of that name. As a program that a
    caller looks for, with whatever follows a dot in its name, we are its hook, too, and this name is its first word.
    """
    if program.partition(".")[0] in PROGRAMS:
        return ["hook", PROGRAMS[program.partition(".")[0]], program, *words]
    prefix, _, called = program.partition("holdstill-")
    name, _, job = called.partition(".")
    if prefix or name not in names():
        return [*words]
    return ["hook", *([f"--job={job}"] if job else []), name, *words]
