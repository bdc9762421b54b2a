"""Paths that a user gives relative to the folder where they are: we work in another one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

KEY = "holdstill: the folder that it was called in"


def leave(ctx: click.Context) -> None:
    """Work in /, so that no folder of the user's is kept in use; remember where the user is."""
    with suppress(OSError):  # the folder is gone
        ctx.meta[KEY] = Path.cwd()
    os.chdir("/")


def called_in(ctx: click.Context) -> Path:
    """Give the folder that holdstill was called in; / if that is gone."""
    folder: Path = ctx.meta.get(KEY, Path("/"))
    return folder


class PathFromThere(click.Path):
    """A path that may be relative to the folder that holdstill was called in."""

    def __init__(self, **more: Any) -> None:
        """See click.Path."""
        super().__init__(path_type=Path, **more)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Give the whole path."""
        return super().convert(called_in(ctx) / value if ctx else value, param, ctx)
