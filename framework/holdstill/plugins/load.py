"""Find plugins: installed distributions' entry points, and the site's single files.

pluggy has a loader, but it stops at the first plugin that breaks and passes over a name that is taken
without a word. Here a broken plugin is remembered with its reason, and never stops a release.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from holdstill.trust import written_by_others

GROUP = "holdstill"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that was found, whether it loads or not."""

    name: str
    origin: str
    "Where it comes from: a distribution with its version, or a file."
    plugin: Any = None
    broken: str = ""
    "Why it cannot be used."


def find(drop_ins: Path, only: str = "") -> Iterator[Found]:
    """Load every plugin of this host, holdstill's own first; of two with one name, the first counts.

    With ``only`` a name, load no others.
    """
    taken: dict[str, str] = {}
    for found in (*_installed(only), *dropped_in(drop_ins, only)):
        if found.name in taken:
            yield Found(
                name=found.name,
                origin=found.origin,
                broken=f"the name {found.name!r} is taken by {taken[found.name]}; rename one of the two",
            )
        else:
            taken[found.name] = found.origin
            yield found


def _installed(only: str) -> Iterator[Found]:
    points = entry_points(group=GROUP, name=only) if only else entry_points(group=GROUP)
    for point in sorted(points, key=_ours_first):
        yield loaded(point, f"{point.dist.name} {point.dist.version}" if point.dist else point.value)


def loaded(point: EntryPoint, origin: str) -> Found:
    """Load one plugin, or find out why it does not load."""
    return _tried(point.name, origin, point.load)


def _ours_first(point: EntryPoint) -> tuple[bool, str, str]:
    distribution = point.dist.name if point.dist else ""
    return distribution != "holdstill", distribution, point.name


def dropped_in(folder: Path, only: str = "") -> Iterator[Found]:
    """Load the single files in a folder; with ``only`` a name, no others."""
    try:
        paths = sorted(folder.glob("[!.]*.py"))  # hidden ones are an editor's
    except OSError:
        return
    for path in paths:
        name = path.stem.replace("_", "-")
        if not only or name == only:
            yield _tried(name, str(path), partial(_load_file, path))


def _tried(name: str, origin: str, load: Callable[[], Any]) -> Found:
    """Load a plugin; whatever it raises, even to exit, is why it does not load, and stops no other."""
    try:
        return Found(name=name, origin=origin, plugin=load())
    except BaseException as error:
        return Found(name=name, origin=origin, broken=_reason(error))


def _load_file(path: Path) -> ModuleType:
    compiled = Path(importlib.util.cache_from_source(str(path)))  # would be run in its place
    for place in (path, path.parent, compiled):
        if found := written_by_others(place):
            raise PermissionError(f"it would run as root, but others may write {found}; «chmod go-w {found}»")
    name = f"holdstill_site_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]  # whoever imports it later is told, too, and does not get half of it
        raise
    return module


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, PermissionError) else f"{type(error).__name__}: {error}"
