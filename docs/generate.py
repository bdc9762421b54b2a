"""Write what comes from the code: the reference pages, and backup programs' configurations in contrib.

::

    python docs/generate.py            write them
    python docs/generate.py --check    write nothing; exit with 1 if a file is not as it would be written
"""

from __future__ import annotations

import ast
import inspect
import sys
import typing
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import msgspec
from describe import line, markdown, page, signature, table, words, written_types

from holdstill import hookspecs, plugin
from holdstill.callers import Target, caller, names, snippet
from holdstill.cli.app import app
from holdstill.cli.brought import HOOK as COMMAND
from holdstill.config.model import Config, GuestConfig, JobConfig
from holdstill.config.schema import LISTS
from holdstill.errors import ExitCode, HoldstillError
from holdstill.host.real import RealHost
from holdstill.plugins.load import Found, find
from holdstill.plugins.registry import Registry
from holdstill.testing.documented import class_node, member_docs
from holdstill.words import Role

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = Path("docs/reference")
TYPE_NAMES = {
    "Duration": "[time](#sizes-and-times)",
    "Size": "[size](#sizes-and-times)",
    "bool": "`true` or `false`",
    "dict[str, str]": "mapping of texts",
    "dict[str, GuestConfig]": "[guests](#a-guest) by name",
    "dict[str, JobConfig]": "[jobs](#a-job) by name",
    "int": "number",
    "list[int]": "list of numbers",
    "list[str]": "list of texts",
    "list[str | list[str]]": "list of texts, and of lists of texts",
    "str": "text",
}


# hooks.md


def hooks() -> str:
    """Write the reference of all hooks."""
    tree = ast.parse(inspect.getsource(hookspecs))
    nodes = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    introduction = inspect.getdoc(hookspecs) or ""
    return page(
        "# Hooks",
        markdown(introduction),
        words("hooks"),
        "## Phase hooks",
        *(_hook(node) for node in nodes if node.name not in hookspecs.STEP_HOOKS),
        "## Step hooks",
        *(_hook(node) for node in nodes if node.name in hookspecs.STEP_HOOKS),
    )


def _hook(node: ast.FunctionDef) -> str:
    users = [found.name for found in built_ins() if registry().implements(found.name, node.name)]
    used = f"\nImplemented by: {', '.join(f'`{name}`' for name in users)}.\n" if users else ""
    doc = markdown(ast.get_docstring(node) or "").strip()
    return f"### {node.name}\n\n```python\n{signature(node)}\n```\n\n{doc}\n{used}"


# exit-codes.md


def exit_codes() -> str:
    """Write the reference of the exit codes."""
    docs = member_docs(ExitCode)
    rows = [[f"{code:d}", f"`{code.name}`", line(docs[code.name])] for code in ExitCode]
    return page(
        "# Exit codes",
        markdown(inspect.getdoc(ExitCode) or ""),
        table(["code", "name", "meaning"], rows),
        words("exit-codes"),
    )


# configuration.md


def registry() -> Registry:
    """Load holdstill's own plugins: what else is installed here is no part of the pages."""
    return Registry(built_ins())


def built_ins() -> list[Found]:
    """Find holdstill's own plugins."""
    nowhere = Path("/nonexistent")
    return sorted(
        (found for found in find(nowhere) if found.origin.startswith("holdstill ")), key=lambda one: one.name
    )


def configuration() -> str:
    """Write the reference of the configuration."""
    return page(
        "# Configuration",
        words("configuration"),
        "## Sections",
        fields(Config),
        "## A guest",
        fields(GuestConfig),
        "## A job",
        fields(JobConfig),
        "## Plugins",
        "What each built-in plugin can be, and its options.",
        *(_plugin(found) for found in built_ins()),
    )


def _plugin(found: Found) -> str:
    roles = [f"`{role}`" for role in Role if found.name in registry().names(role)]
    doc = markdown(import_module(found.plugin.__name__).__doc__ or "")
    title, _, rest = doc.partition("\n\n")
    summary = title.partition("`: ")[2]
    options = registry().options_of(found.name)
    listed = fields(options) if options.__struct_fields__ else "No options.\n"
    said = f"{summary[:1].upper()}{summary[1:]}"
    entries = [f"An entry of `{key}`:\n\n{fields(cls)}" for key, cls in _structs_in(options).items()]
    parts = [f"### {found.name}", f"As {' or '.join(roles)}. {said}", rest, listed, *entries]
    return "\n\n".join(part.strip("\n") for part in parts if part).replace("\n\n\n\n", "\n\n")


def _structs_in(options: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    """Give the keys whose values are lists of what has keys of its own."""
    listed = {field.encode_name: typing.get_args(field.type) for field in msgspec.structs.fields(options)}
    return {key: types[0] for key, types in listed.items() if types and _is(types[0], msgspec.Struct)}


def fields(cls: type[msgspec.Struct]) -> str:
    """List the keys of a struct as a table."""
    docs, types = member_docs(cls), written_types(cls)
    rows = [
        [f"`{field.encode_name}`", _type(types[field.name], field), _default(field), line(docs[field.name])]
        for field in msgspec.structs.fields(cls)
    ]
    return table(["key", "value", "default", "meaning"], rows)


def _type(written: str, field: msgspec.structs.FieldInfo) -> str:
    if written == "Any":
        return "steps" if field.name in map(str, LISTS) else "step"
    if choices := _choices(field.type):
        return choices
    if typing.get_origin(field.type) is list and (choices := _choices(typing.get_args(field.type)[0])):
        return f"list of {choices}"
    if written in TYPE_NAMES:
        return TYPE_NAMES[written]
    if any(_is(part, msgspec.Struct) for part in typing.get_args(field.type)):
        return "list of mappings, below"
    return " or ".join(TYPE_NAMES[part] for part in written.split(" | ") if part != "None")


def _choices(kind: Any) -> str:
    words = typing.get_args(kind) if typing.get_origin(kind) is typing.Literal else ()
    return " or ".join(f"`{word}`" for word in words)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "needed"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    if value is None or value in ("", [], {}):
        return "none"
    if isinstance(value, list):
        value = f"[{', '.join(map(str, value))}]"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


# command-line.md


def command_line() -> str:
    """Write the reference of the command line."""
    context = click.Context(app, info_name="holdstill")
    commands = [_command(name, command, context) for name, command in _commands(context)]
    return page(
        "# Command line",
        _usage(context),
        _help(app),
        _options(app),
        words("command-line"),
        *commands,
    )


def _commands(context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Give all commands: the framework's, then those that plugins bring."""
    for name in app.list_commands(context):
        command = app.get_command(context, name)
        assert command
        yield name, command
    for found in built_ins():
        if registry().implements(found.name, COMMAND):
            yield found.name, registry().call(found.name, COMMAND, host=RealHost(), folder=Path())


def _command(name: str, command: click.Command, parent: click.Context) -> str:
    context = click.Context(command, info_name=name, parent=parent)
    return f"## holdstill {name}\n\n{_usage(context)}\n\n{_help(command)}\n\n{_options(command)}"


def _usage(context: click.Context) -> str:
    pieces = " ".join(context.command.collect_usage_pieces(context))
    return f"```text\n{context.command_path} {pieces}\n```"


def _help(command: click.Command) -> str:
    return markdown(command.help or "")


def _options(command: click.Command) -> str:
    options = [one for one in command.params if isinstance(one, click.Option)]
    return "".join(f"- {_option(one)}\n" for one in options)


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{name}{_value(option)}`" for name in option.opts)
    default = f" Default: `{option.default}`." if option.show_default and not option.is_flag else ""
    variable = f" Environment: `{option.envvar}`." if option.envvar else ""
    return f"{names}: {option.help}{default}{variable}"


def _value(option: click.Option) -> str:
    if option.is_flag:
        return ""
    choices = "|".join(getattr(option.type, "choices", ()))
    return f" {option.metavar or choices}"


# plugin-api.md


def plugin_api() -> str:
    """Write the reference of what a plugin imports."""
    given = {name: getattr(plugin, name) for name in plugin.__all__}
    errors = {name: one for name, one in given.items() if _is(one, HoldstillError)}
    types = {name: one for name, one in given.items() if inspect.isclass(one) and name not in errors}
    functions = {name: one for name, one in given.items() if inspect.isfunction(one)}
    return page(
        "# What a plugin imports",
        words("plugin-api"),
        "## Types",
        *(_type_section(name, cls) for name, cls in types.items() if cls is not ExitCode),
        "## Errors",
        table(["error", "exit code", "meaning"], (_error(name, cls) for name, cls in errors.items())),
        "## Functions",
        *(_function(function) for function in functions.values()),
    )


def _is(one: Any, cls: type) -> bool:
    return isinstance(one, type) and issubclass(one, cls)


def _error(name: str, cls: type[HoldstillError]) -> list[str]:
    return [f"`{name}`", f"{int(cls.code)}", line(inspect.getdoc(cls) or "")]


def _type_section(name: str, cls: type) -> str:
    parts = [f"### {name}", markdown(inspect.getdoc(cls) or ""), _members(cls), *_methods(cls)]
    return "\n\n".join(part.strip("\n") for part in parts if part)


def _members(cls: type) -> str:
    """List the fields of a struct, or the values of an enumeration."""
    docs = member_docs(cls)
    if _is(cls, Enum):
        return ", ".join(f"`{name}` («{value.value}»)" for name, value in cls.__members__.items()) + ".\n"  # type: ignore[attr-defined]
    types = written_types(cls) if _is(cls, msgspec.Struct) else {}
    return "".join(f"- `{name}: {kind}`{_said(docs.get(name))}\n" for name, kind in types.items())


def _said(doc: str | None) -> str:
    return f" — {line(doc)}" if doc else ""


def _methods(cls: type) -> Iterator[str]:
    nodes = (node for node in class_node(cls).body if isinstance(node, ast.FunctionDef))
    for node in nodes:
        if not node.name.startswith("_"):
            doc = markdown(ast.get_docstring(node) or "")
            shown = node.name if _is_property(node) else signature(node)
            yield f"```py\n{shown}\n```\n\n{doc}"


def _is_property(node: ast.FunctionDef) -> bool:
    return any(isinstance(one, ast.Name) and one.id == "property" for one in node.decorator_list)


def _function(function: Any) -> str:
    node = ast.parse(inspect.getsource(function)).body[0]
    assert isinstance(node, ast.FunctionDef)
    return f"```python\n{signature(node)}\n```\n\n{markdown(ast.get_docstring(node) or '')}\n"


# contrib/NAME: what «holdstill caller NAME nightly» prints


NIGHTLY = Target(job="nightly", trees="/run/holdstill/nightly", guests=("web",))


def configurations() -> dict[Path, str]:
    """Write the configuration of every caller."""
    return {
        Path("contrib") / name / file.name: snippet(name, file, NIGHTLY)
        for name in names()
        for file in caller(name).FILES
    }


# Writing


PAGES = {
    "hooks.md": hooks,
    "exit-codes.md": exit_codes,
    "configuration.md": configuration,
    "command-line.md": command_line,
    "plugin-api.md": plugin_api,
}


def stale() -> dict[Path, str]:
    """Give the files that are not as they would be written, with what they would be."""
    written = {REFERENCE / name: write() for name, write in PAGES.items()} | configurations()
    return {path: text for path, text in written.items() if _on_disk(path) != text}


def _on_disk(path: Path) -> str:
    return (ROOT / path).read_text() if (ROOT / path).exists() else ""


def main(arguments: list[str]) -> int:
    """Write the files, or check them."""
    outdated = stale()
    if arguments == ["--check"]:
        for path in outdated:
            sys.stderr.write(f"{path} is not what the code says; run «make docs».\n")
        return 1 if outdated else 0
    for path, text in outdated.items():
        (ROOT / path).parent.mkdir(exist_ok=True)
        (ROOT / path).write_text(text)
        sys.stdout.write(f"{path} written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
