"""YAML with its places: every value knows the file and the line that it was written on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import yaml

from holdstill.config import not_yaml
from holdstill.config.complaints import Complaints

Route: TypeAlias = tuple[str | int, ...]
"""The way to a value: ``("guests", "web", "disks", 0)``."""

MAX_DEPTH = 20
MOST = 100_000
"How many values a file may have, aliases written out: a few lines of them can be made to mean millions."


class Document:
    """The merged content of all configuration files."""

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}
        self._places: dict[Route, str] = {}

    def place(self, route: Route) -> str:
        """``FILE:LINE`` of a value, or of the nearest one around it that was written."""
        while route and route not in self._places:
            route = route[:-1]
        return self._places.get(route, "")

    def add(self, path: Path, complaints: Complaints) -> None:
        """Read one more file. Sections (``guests``, ``jobs``) of several files are put together."""
        try:
            node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            complaints.add(_place(path, not_yaml.mark_of(error)), not_yaml.sentence(error))
        except UnicodeDecodeError as error:
            complaints.add(str(path), f"this is not text in UTF-8, from byte {error.start} on")
        except yaml.YAMLError as error:
            complaints.add(str(path), f"this is not YAML: {error}")
        except RecursionError:
            complaints.add(str(path), "this is nested too deeply")
        except OSError as error:
            complaints.add(str(path), f"this file cannot be read: {error.strerror}")
        else:
            self._merge(path, node, complaints)

    def _merge(self, path: Path, node: yaml.Node | None, complaints: Complaints) -> None:
        if node is None or _is_empty(node):
            return
        if not isinstance(node, yaml.MappingNode):
            complaints.add(
                _place(path, node.start_mark),
                "a configuration begins with keys, such as 'guests:' and 'jobs:'",
            )
            return
        reader = _Reader(path, self._places, complaints)
        for section, value in reader.items(node, ()):
            known = self.content.get(section)
            if isinstance(known, dict) and isinstance(value, yaml.MappingNode):
                for name, entry in reader.items(value, (section,), known):
                    known[name] = reader.value(entry, (section, name))
            elif isinstance(known, list) and isinstance(value, yaml.SequenceNode):
                for entry in value.value:
                    known.append(reader.value(entry, (section, len(known))))
            elif not (known is not None and _is_empty(value)):
                self.content[section] = reader.value(value, (section,))


class _Reader:
    """Turns YAML nodes into plain values, remembering where each was written."""

    def __init__(self, path: Path, places: dict[Route, str], complaints: Complaints) -> None:
        self._path = path
        self._places = places
        self._complaints = complaints
        self._count = 0

    def items(
        self, node: yaml.MappingNode, route: Route, before: dict[str, Any] | None = None
    ) -> list[tuple[str, yaml.Node]]:
        """Give the keys of a mapping with their nodes; a key written twice is complained of."""
        found: dict[str, yaml.Node] = {}
        for key_node, value_node in node.value:
            place = _place(self._path, key_node.start_mark)
            if not isinstance(key_node, yaml.ScalarNode):
                self._complaints.add(place, "a key is a word, not a list or a mapping")
                continue
            key = str(key_node.value)
            if key in found or (before and key in before):
                first = self._places.get((*route, key), "above")
                self._complaints.add(place, f"{key!r} is written twice; the first one is at {first}")
                continue
            found[key] = value_node
            self._places[*route, key] = place
        return list(found.items())

    def value(self, node: yaml.Node, route: Route) -> Any:
        self._places.setdefault(route, _place(self._path, node.start_mark))
        self._count += 1
        if self._count > MOST:
            self._complaints.add(str(self._path), f"this says more than {MOST} values")
            return None
        if len(route) > MAX_DEPTH:
            self._complaints.add(self._places[route], "this is nested too deeply, or contains itself")
            return None
        if isinstance(node, yaml.MappingNode):
            return {key: self.value(entry, (*route, key)) for key, entry in self.items(node, route)}
        if isinstance(node, yaml.SequenceNode):
            return [self.value(entry, (*route, index)) for index, entry in enumerate(node.value)]
        return self._scalar(node, route)

    def _scalar(self, node: yaml.Node, route: Route) -> Any:
        try:
            return yaml.SafeLoader("").construct_object(node)
        except Exception as error:  # PyYAML raises anything for a tag that does not fit: !!bool 5, !!int ""
            problem = getattr(error, "problem", error) or "it is not what its tag says"
            self._complaints.add(self._places[route], f"this value cannot be read: {problem}")
            return None


def _is_empty(node: yaml.Node) -> bool:
    """Tell whether a section has its key only: then it takes nothing away from another file's."""
    return isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"


def _place(path: Path, mark: yaml.Mark | None) -> str:
    return f"{path}:{mark.line + 1}" if mark else str(path)
