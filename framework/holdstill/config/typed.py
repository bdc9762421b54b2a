"""From plain values to typed ones, saying all that does not fit rather than the first thing."""

from __future__ import annotations

import re
import types
import typing
from typing import Any, TypeVar

import msgspec

from holdstill import units
from holdstill.config.complaints import Complaints
from holdstill.config.document import Document, Route
from holdstill.text import nearest

S = TypeVar("S", bound=msgspec.Struct)

KINDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "keys with values",
    "str": "text",
}
"What msgspec calls kinds of values, in words of who writes YAML."


class Typist:
    """Fits the values of one document to types."""

    def __init__(self, document: Document, complaints: Complaints) -> None:
        self._document = document
        self._complaints = complaints

    def complain(self, route: Route, sentence: str) -> None:
        """Complain of the value at ``route``."""
        self._complaints.add(self._document.place(route), sentence)

    def struct(self, wanted: type[S], value: object, route: Route) -> S | None:
        """Fit a mapping to a struct, field by field; ``None`` if it does not fit."""
        if value is None:
            value = {}
        if not isinstance(value, dict):
            self.complain(route, f"{_name(route)} has keys of its own ({_keys(wanted)}), not {_shown(value)}")
            return None
        fields = {field.encode_name: field for field in msgspec.structs.fields(wanted)}
        self._unknown_keys(value, fields, route)
        fitted: dict[str, Any] = {}
        for key, field in fields.items():
            if key in value:
                fit = self.value(field.type, value[key], (*route, key))
                if fit is not None or field.required or _may_be_none(field.type):
                    fitted[field.name] = (
                        fit  # for what does not fit, the default, so that the rest can be looked at
                    )
            elif field.required:
                self.complain(route, f"{_name(route)} needs the key {key!r}")
                fitted[field.name] = None
        if any(fitted[name] is None for name in _required(fields, fitted)):
            return None
        try:
            return wanted(**fitted)
        except (TypeError, ValueError) as error:  # as msgspec wants it from a __post_init__ that looks closer
            self.complain(route, f"{_name(route)}: {error}")
            return None

    def _unknown_keys(self, value: dict[str, Any], fields: dict[str, Any], route: Route) -> None:
        for key in value:
            if key not in fields:
                hint = nearest(key, fields) or f"; known are {', '.join(fields) or 'none'}"
                self.complain((*route, key), f"{_name(route)} has no key {key!r}{hint}")

    def value(self, wanted: Any, value: object, route: Route) -> Any:
        """Fit a value to a type; ``None`` if it does not fit."""
        origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
        if origin is dict and isinstance(value, dict):
            return {key: self.value(arguments[1], entry, (*route, key)) for key, entry in value.items()}
        if _is_list(origin, arguments) and isinstance(value, list):
            return self._list(origin, arguments[0], value, route)
        inner = _struct_in(wanted, origin, arguments)
        if inner and (inner is wanted or isinstance(value, dict)):
            return self.struct(inner, value, route)
        return self._plain(wanted, value, route)

    def _list(self, origin: Any, wanted: Any, value: list[Any], route: Route) -> Any:
        """Fit a list; entries that do not fit are complained of and left out. ``None`` if none of them fits."""
        entries = [self.value(wanted, entry, (*route, index)) for index, entry in enumerate(value)]
        fitted = [entry for entry in entries if entry is not None or _may_be_none(wanted)]
        return origin(fitted) if fitted or not value else None

    def _plain(self, wanted: Any, value: object, route: Route) -> Any:
        try:
            return msgspec.convert(value, wanted, dec_hook=units.decode)
        except msgspec.ValidationError as error:
            wrong = _no_choice(wanted, value) or _sentence(error) + _as_list(wanted, value)
            self.complain(route, f"{_name(route)}: {wrong}")
            return None


def _is_list(origin: Any, arguments: tuple[Any, ...]) -> bool:
    """Whether a type is of any number of entries: a list, or a tuple that is one."""
    return origin is list or (origin is tuple and arguments[1:] == (...,))


def _struct_in(wanted: Any, origin: Any, arguments: tuple[Any, ...]) -> type[msgspec.Struct] | None:
    """The struct that a type is, or is optionally."""
    candidates = arguments if origin in {typing.Union, types.UnionType} else (wanted,)
    for candidate in candidates:
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _required(fields: dict[str, Any], fitted: dict[str, Any]) -> list[str]:
    return [field.name for field in fields.values() if field.name in fitted and not _may_be_none(field.type)]


def _may_be_none(wanted: Any) -> bool:
    return wanted is Any or type(None) in typing.get_args(wanted)


def _name(route: Route) -> str:
    return ".".join(str(part) for part in route) or "the configuration"


def _keys(wanted: type[msgspec.Struct]) -> str:
    return ", ".join(wanted.__struct_encode_fields__) or "none"


def _shown(value: object) -> str:
    return f"{value!r}" if isinstance(value, str | int | float) else f"a {type(value).__name__}"


def _sentence(error: msgspec.ValidationError) -> str:
    if isinstance(error.__cause__, ValueError):
        return str(error.__cause__)
    return re.sub("`([^`]+)`", _in_words, str(error).split(" - at ")[0])


def _as_list(wanted: Any, value: object) -> str:
    """Say how one entry is written where a list must be."""
    one = isinstance(value, str) and _is_list(typing.get_origin(wanted), typing.get_args(wanted))
    return f"; write [{value}]" if one else ""


def _no_choice(wanted: Any, value: object) -> str:
    """Say what there is to choose from, if a value must be one of several words; else nothing."""
    if typing.get_origin(wanted) is not typing.Literal:
        return ""
    words = [str(word) for word in typing.get_args(wanted)]
    return f"{_shown(value)} is none of {', '.join(words)}{nearest(str(value), words)}"


def _in_words(quoted: re.Match[str]) -> str:
    kinds = quoted[1].split(" | ")
    return " or ".join(KINDS[kind] for kind in kinds) if KINDS.keys() >= set(kinds) else f"'{quoted[1]}'"
