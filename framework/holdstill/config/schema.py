"""The configuration's JSON Schema, from the types that validate it."""

from __future__ import annotations

import functools
import operator
import types
import typing
from typing import Any

import msgspec

from holdstill import units
from holdstill.config.model import Config
from holdstill.plugins.registry import Registry
from holdstill.words import Role

LISTS = (Role.QUIESCE, Role.OPEN, Role.VERIFY, Role.AROUND)
"Roles of which a guest or job has several steps."


def schema(plugins: Registry) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of a configuration on this host."""
    top, definitions = _of(Config, "")
    for name in sorted({name for role in Role for name in plugins.names(role)}):
        definitions |= _of(plugins.options_of(name), f"{name}.")[1]
    for owner, roles in (
        ("GuestConfig", (Role.SNAPSHOT, Role.OPEN, Role.QUIESCE)),
        ("JobConfig", (Role.BACKUP, Role.VERIFY, Role.AROUND)),
        ("Config", (Role.AROUND,)),
    ):
        for role in roles:
            definitions[owner]["properties"][str(role)] = _place(role)
    definitions |= {f"{role}-step": _step(role, plugins) for role in Role}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": definitions}


def _of(wanted: type[msgspec.Struct], prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Describe a type, and all that it is made of under names with that prefix. Unknown keys are refused."""
    [top], found = msgspec.json.schema_components(
        [_writable(wanted)], schema_hook=units.schema, ref_template=f"#/$defs/{prefix}{{name}}"
    )
    closed = {
        f"{prefix}{name}": {**entry, "additionalProperties": False} if "properties" in entry else entry
        for name, entry in found.items()
    }
    return top, closed


def _place(role: Role) -> dict[str, Any]:
    one = {"$ref": f"#/$defs/{role}-step"}
    return {"anyOf": [one, {"type": "array", "items": one}]} if role in LISTS else one


def _step(role: Role, plugins: Registry) -> dict[str, Any]:
    """A step is a plugin's name, or its name with its options."""
    named: list[dict[str, Any]] = [{"enum": plugins.names(role)}]
    for name in plugins.names(role):
        options = {"$ref": f"#/$defs/{name}.{plugins.options_of(name).__name__}"}
        named.append(
            {
                "type": "object",
                "properties": {name: options},
                "required": [name],
                "additionalProperties": False,
            }
        )
    return {"anyOf": named}


def _writable(wanted: Any) -> Any:
    """Give the same type with its defaults as they are written: msgspec cannot write our sizes and times."""
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        return _writable_struct(wanted)
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in {None, typing.Literal, typing.Annotated}:
        return wanted
    if origin in {typing.Union, types.UnionType}:
        return functools.reduce(operator.or_, map(_writable, arguments))
    return origin[tuple(map(_writable, arguments))]


@functools.cache
def _writable_struct(wanted: type[msgspec.Struct]) -> type[msgspec.Struct]:
    fields = msgspec.structs.fields(wanted)
    return msgspec.defstruct(
        wanted.__name__,
        [(field.name, _writable(field.type), _default(field)) for field in fields],
        rename={field.name: field.encode_name for field in fields},
        kw_only=True,
        namespace={"__doc__": wanted.__doc__},
    )


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.required:
        return msgspec.field()
    if field.default is msgspec.NODEFAULT:
        return msgspec.field(default_factory=field.default_factory)
    odd = isinstance(field.default, units.Duration | units.Size)
    return msgspec.field(default=str(field.default) if odd else field.default)
