"""The command line: a file a subcommand, imported only when it is called."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run ``holdstill`` with the process's arguments, and exit."""
    _have_standard_streams()
    if sys.argv[1:] == ["--version"]:  # answered before click is imported: it should cost nothing
        from holdstill import __version__

        print(f"holdstill {__version__}")  # noqa: T201
        return
    from holdstill.cli.app import call

    sys.exit(call(sys.argv[1:]))


def _have_standard_streams() -> None:
    """Fill descriptors 0 to 2, should our caller have closed one: a journal must never become our output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
