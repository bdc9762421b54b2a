"""Commands on files: real ones beneath the machine's root, done without starting a process."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from holdstill.testing.commands.arguments import Arguments, Refused

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine


def _inside(machine: Machine, path: str) -> Path:
    if not Path(path).is_relative_to(machine.root):
        raise AssertionError(f"{path} is outside the modelled machine")
    return Path(path)


def _cp(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--reflink", "--sparse"])
    source, copy = (_inside(machine, word) for word in given.words)
    if given.get("--reflink") == "always" and not machine.can_clone:
        copy.touch()  # as the real cp leaves an empty file behind
        raise Refused(1, f"cp: failed to clone '{copy}' from '{source}': Operation not supported")
    with source.open("rb") as file:
        copy.write_bytes(file.read(4096))
    os.truncate(copy, source.stat().st_size)
    if str(source) in machine.kernel.contents:
        machine.kernel.contents[str(copy)] = machine.kernel.contents[str(source)]
    return ""


def _rm(machine: Machine, arguments: list[str]) -> str:
    for word in Arguments(arguments, flags=["--force"]).words:
        _inside(machine, word).unlink(missing_ok=True)
        machine.kernel.contents.pop(word, None)
    return ""


def _mkdir(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--mode"], flags=["--parents"])
    for word in given.words:
        try:
            _inside(machine, word).mkdir(parents="--parents" in given, exist_ok="--parents" in given)
        except FileExistsError:
            raise Refused(1, f"mkdir: cannot create directory '{word}': File exists") from None
    return ""


def _rmdir(machine: Machine, arguments: list[str]) -> str:
    for word in arguments:
        try:
            _inside(machine, word).rmdir()
        except OSError as error:
            raise Refused(1, f"rmdir: failed to remove '{word}': {error.strerror}") from None
    return ""


def _mv(machine: Machine, arguments: list[str]) -> str:
    source, target = (
        _inside(machine, word) for word in Arguments(arguments, flags=["--no-target-directory"]).words
    )
    source.replace(target)
    return ""


def _du(machine: Machine, arguments: list[str]) -> str:
    [path] = Arguments(arguments, valued=["--block-size"]).words
    return f"{_inside(machine, path).stat().st_size}\t{path}\n"


def _head(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--bytes"])
    with _inside(machine, given.words[0]).open(errors="replace") as file:
        return file.read(int(given["--bytes"]))


def _sync(machine: Machine, arguments: list[str]) -> str:
    for word in arguments:
        if not _inside(machine, word).exists():
            raise Refused(1, f"sync: error opening '{word}': No such file or directory")
    return ""


COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {
    "cp": _cp,
    "rm": _rm,
    "mkdir": _mkdir,
    "rmdir": _rmdir,
    "du": _du,
    "head": _head,
    "mv": _mv,
    "sync": _sync,
}
