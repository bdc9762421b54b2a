"""Write a distribution with plugins, to begin from: our own one, «my-app», under another name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from holdstill.errors import StorageError, UsageError

TEMPLATE = Path(__file__).parents[1] / "template"
OURS = "my-app"
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 40
"Characters: a name becomes a part of others, such as device-mapper's."


class Names(NamedTuple):
    """What the distribution for something is called, and what is in it."""

    name: str

    @classmethod
    def of(cls, name: str, taken: Mapping[str, str]) -> Names:
        """Check a name; ``taken`` are plugins, with where they come from. Raises UsageError."""
        if not NAME.fullmatch(name) or len(name) > LONGEST:
            raise UsageError(
                f"{name!r} is no name for a plugin: small letters and digits, with dashes between, a letter first, "
                f"and at most {LONGEST} characters, such as 'couch-db'."
            )
        if name.startswith("holdstill"):
            raise UsageError(f"Name what it is for: the distribution becomes 'holdstill-{name}'.")
        names = cls(name)
        for plugin in names.plugins:
            if plugin in taken:
                raise UsageError(
                    f"There is a plugin {plugin!r} already ({taken[plugin]}); choose another name."
                )
        return names

    @property
    def distribution(self) -> str:
        """What pip knows it by."""
        return f"holdstill-{self.name}"

    @property
    def plugins(self) -> tuple[str, ...]:
        """What a configuration names."""
        return (self.name, f"{self.name}-open", f"{self.name}-ends")

    def put_into(self, text: str) -> str:
        """Put our own names into a text of the template: with dashes, as modules have them, and without any."""
        return text.replace(OURS, self.name).replace(OURS.replace("-", "_"), self.name.replace("-", "_"))


def make(names: Names, folder: Path) -> None:
    """Write the distribution into a new or empty folder.

    Raises UsageError if something is there, StorageError if it cannot be written.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(
                f"{folder} is not empty, and nothing in it is overwritten; name a new folder with --to."
            )
        for path in _files():
            target = folder / names.put_into(str(path.relative_to(TEMPLATE)))
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(names.put_into(path.read_text()))
    except OSError as error:
        raise StorageError(f"The plugins cannot be written to {folder}: {error.strerror}.") from error


def _files() -> Iterator[Path]:
    """Give the template's files, without what Python or a test leaves beside them."""
    for path in sorted(TEMPLATE.rglob("*")):
        if path.is_file() and not any(part in {"__pycache__", ".pytest_cache"} for part in path.parts):
            yield path
