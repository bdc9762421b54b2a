"""Describe code in Markdown: docstrings, signatures, and the strings below the members of a class."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from holdstill.testing.documented import bodies, name_of

TEXTS = Path(__file__).resolve().parent / "reference" / "texts"
NOTICE = "<!-- Written by docs/generate.py from the code; «make docs» writes it anew. -->\n"
WIDE = 110
"A signature longer than this gets a line for each parameter, as ruff would have it."


# Text


def markdown(text: str) -> str:
    """Turn a docstring into Markdown."""
    text = inspect.cleandoc(text)
    text = re.sub(r":\w+:`~[\w.]*?(\w+)`", r"`\1`", text)
    text = re.sub(r":\w+:`([\w.]+)`", r"`\1`", text)
    text = re.sub(r"``(.+?)``", r"`\1`", text)
    return re.sub(r"::\n\n((?: {4}.*(?:\n|$)|\n)+)", _fenced, text)


def _fenced(match: re.Match[str]) -> str:
    """A literal block. It may be a fragment, hence not «python», of which the tests expect whole modules."""
    return f":\n\n```py\n{textwrap.dedent(match[1]).strip()}\n```\n"


def line(text: str) -> str:
    """Turn a docstring into Markdown on one line, for a table."""
    return " ".join(markdown(text).split()).replace("|", "\\|")


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Write a table."""
    heads = list(heads)
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def page(*parts: str) -> str:
    """Put a page together."""
    return "\n".join([NOTICE, *(part.strip("\n") + "\n" for part in parts if part)])


def words(name: str) -> str:
    """Give the part of a page that is written by hand."""
    return (TEXTS / f"{name}.md").read_text()


# What the code says


def written_types(cls: type) -> dict[str, str]:
    """Give the type of each field of a class, as it is written."""
    fields = (node for body in bodies(cls) for node in body if isinstance(node, ast.AnnAssign))
    return {name_of(node): ast.unparse(node.annotation) for node in fields}


def signature(node: ast.FunctionDef) -> str:
    """Write a function's signature, as a whole statement of Python."""
    assert node.returns
    given, ends = list(_parameters(node.args)), f") -> {ast.unparse(node.returns)}: ..."
    short = f"def {node.name}({', '.join(given)}{ends}"
    if len(short) <= WIDE:
        return short
    return "".join([f"def {node.name}(\n", *(f"    {one},\n" for one in given), ends])


def _parameters(given: ast.arguments) -> Iterator[str]:
    """Give each parameter as it is written."""
    depth, word = 0, ""
    for char in f"{ast.unparse(given)},":
        depth += (char in "([{") - (char in ")]}")
        if char == "," and not depth:
            yield word.strip().replace("=", " = ").replace("''", '""')
            word = ""
        else:
            word += char
