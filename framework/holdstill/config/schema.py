"""The configuration's JSON Schema, from the types that validate it."""

from __future__ import annotations

from typing import Any

import msgspec

from holdstill import units
from holdstill.config.model import Config
from holdstill.plugins.registry import Registry
from holdstill.words import Role

LISTS = (Role.QUIESCE, Role.OPEN, Role.VERIFY)
"Roles of which a guest or job has several steps."


def schema(plugins: Registry) -> dict[str, Any]:
    """Give the JSON Schema (2020-12) of a configuration on this host."""
    [top], definitions = msgspec.json.schema_components([Config], schema_hook=units.schema)
    definitions |= {f"{role}-step": _step(role, plugins, definitions) for role in Role}
    for owner, roles in (
        ("GuestConfig", (Role.SNAPSHOT, Role.OPEN, Role.QUIESCE)),
        ("JobConfig", (Role.BACKUP, Role.VERIFY)),
    ):
        for role in roles:
            definitions[owner]["properties"][str(role)] = _place(role)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **top, "$defs": _moved(definitions)}


def _place(role: Role) -> dict[str, Any]:
    one = {"$ref": f"#/$defs/{role}-step"}
    return {"anyOf": [one, {"type": "array", "items": one}]} if role in LISTS else one


def _step(role: Role, plugins: Registry, definitions: dict[str, Any]) -> dict[str, Any]:
    """A step is a plugin's name, or its name with its options."""
    named: list[dict[str, Any]] = [{"enum": plugins.names(role)}]
    for name in plugins.names(role):
        [options], more = msgspec.json.schema_components([plugins.options_of(name)], schema_hook=units.schema)
        definitions |= {f"{name}.{key}": _renamed(value, name) for key, value in more.items()}
        options = _renamed(options, name)
        named.append(
            {
                "type": "object",
                "properties": {name: options},
                "required": [name],
                "additionalProperties": False,
            }
        )
    return {"anyOf": named}


def _renamed(value: Any, plugin: str) -> Any:
    """Let references to a plugin's own types name them with the plugin: two may call theirs «Options»."""
    text = msgspec.json.encode(value).decode()
    return msgspec.json.decode(text.replace('"#/$defs/', f'"#/$defs/{plugin}.'))


def _moved(value: Any) -> Any:
    """msgspec calls the definitions ``$defs`` already; close every object that validates keys."""
    return {
        name: {**entry, "additionalProperties": False} if "properties" in entry else entry
        for name, entry in value.items()
    }
