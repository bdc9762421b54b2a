"""How ``pre`` and ``paths`` print where the guests' files are: in the words of who reads it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import NamedTuple


class Shown(NamedTuple):
    """Where a job's files are, while it is held."""

    folder: str
    "The folder with the trees of all its guests."
    trees: tuple[str, ...]


def _env(shown: Shown) -> str:
    """For a shell's eval; not named as what holdstill itself reads."""
    return f"HOLDSTILL_PATH={shlex.quote(shown.folder)}\nHOLDSTILL_PATHS={shlex.quote(':'.join(shown.trees))}"


FORMS: dict[str, Callable[[Shown], str]] = {
    "path": lambda shown: shown.folder,
    "paths": lambda shown: "\n".join(shown.trees),
    "env": _env,
    "amanda": lambda shown: f"PROPERTY target {shown.folder}",
    "kopia": lambda shown: f"KOPIA_SNAPSHOT_PATH={shown.folder}",
}
"By the word for ``--print``."
