"""What the code says of the members of a class: the string literal below each."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from itertools import pairwise

import msgspec


def class_node(cls: type) -> ast.ClassDef:
    """Give the syntax tree of a class."""
    node = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    assert isinstance(node, ast.ClassDef)
    return node


def bodies(cls: type) -> Iterator[list[ast.stmt]]:
    """Give what is written in a class, after what it inherits if it is a struct."""
    for base in reversed(cls.__mro__):
        if base is cls or (issubclass(base, msgspec.Struct) and base is not msgspec.Struct):
            yield class_node(base).body


def member_docs(cls: type) -> dict[str, str]:
    """Give the string literal below each member of a class: its documentation."""
    docs = {}
    for member, below in (pair for body in bodies(cls) for pair in pairwise(body)):
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[name_of(member)] = str(below.value.value)
    return docs


def name_of(node: ast.stmt) -> str:
    """Give the name of a member of a class; empty for what is none."""
    target = node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [None])[0]
    return target.id if isinstance(target, ast.Name) else ""
