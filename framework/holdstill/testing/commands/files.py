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


def _touch(machine: Machine, arguments: list[str]) -> str:
    for word in arguments:
        _inside(machine, word).touch()
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
    try:
        source.replace(target)
    except FileNotFoundError:
        raise Refused(1, f"mv: cannot stat '{source}': No such file or directory") from None
    return ""


def _du(machine: Machine, arguments: list[str]) -> str:
    [path] = Arguments(arguments, valued=["--block-size"]).words
    return f"{_inside(machine, path).stat().st_size}\t{path}\n"


def _head(machine: Machine, arguments: list[str]) -> str:
    given = Arguments(arguments, valued=["--bytes"])
    with _inside(machine, given.words[0]).open(errors="replace") as file:
        return file.read(int(given["--bytes"]))


def _find(machine: Machine, arguments: list[str]) -> str:
    """List files and folders that fit a name, each with its kind; what is inside a folder comes before it."""
    valued = ["-mindepth", "-maxdepth", "-type", "-name", "-printf"]
    words = [word for word in arguments[1:] if word not in {"-depth", "-xdev"}]
    given = dict(zip(words[::2], words[1::2], strict=True))
    if unknown := given.keys() - set(valued):
        raise AssertionError(f"the model does not know {unknown}")
    folder, found = _inside(machine, arguments[0]), list[Path]()
    for depth in range(int(given["-maxdepth"]), 0, -1):
        found += sorted(folder.glob("/".join(["*"] * (depth - 1) + [given.get("-name", "*")])))
    kinds = {path: "d" if path.is_dir() else "f" for path in found if not path.is_symlink()}
    return "".join(f"{kind} {path}\0" for path, kind in kinds.items() if kind == given.get("-type", kind))


def _sync(machine: Machine, arguments: list[str]) -> str:
    for word in Arguments(arguments, flags=["--file-system"]).words:
        if not _inside(machine, word).exists():
            raise Refused(1, f"sync: error opening '{word}': No such file or directory")
    return ""


COMMANDS: dict[str, Callable[[Machine, list[str]], str]] = {
    "cp": _cp,
    "rm": _rm,
    "mkdir": _mkdir,
    "rmdir": _rmdir,
    "du": _du,
    "find": _find,
    "head": _head,
    "mv": _mv,
    "sync": _sync,
    "touch": _touch,
}
