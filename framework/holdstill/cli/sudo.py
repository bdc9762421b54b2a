"""Called by sudo for somebody else: what is in the environment is theirs, whatever sudo was told to keep of it."""

from __future__ import annotations

import os
import sys

from holdstill.errors import PermissionRefusedError

SHOWING = {"COLUMNS", "LANG", "LINES", "NO_COLOR", "TERM"}
"Variables that say how to show a thing, and no more."


def called_by_sudo() -> bool:
    """Whether sudo has started this very program: not a shell of root's, which has called it then."""
    program = os.environ.get("SUDO_COMMAND", "").partition(" ")[0]
    return bool(program) and _name(program) == _name(sys.argv[0])


def _name(program: str) -> str:
    return program.rpartition("/")[2]


def forget_the_callers_environment() -> None:
    """Take nothing from it: it could lead us, a library or a plugin to files and servers of the caller's choice.

    Raises PermissionRefusedError for what is meant for us: to pass over it would be to do something else.
    """
    if ours := sorted(name for name in os.environ if name.startswith("HOLDSTILL_")):
        raise PermissionRefusedError(
            f"{', '.join(ours)} in the environment of who called sudo: that is not taken. Say it with an option, "
            "such as --config, if sudo lets you, or let sudo reset the environment."
        )
    for name in set(os.environ) - SHOWING:
        if not name.startswith(("LC_", "SUDO_")):
            del os.environ[name]
