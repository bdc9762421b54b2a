"""Every moment at which a process could die, from one run: the machine as it was then, for others to put right."""

from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from holdstill.testing.trial import Trial

WHOLE = 1 << 20
"Bytes: larger files are images, sparse, of which only the beginning says anything."
BEGINNING = 4096

Files = tuple[tuple[str, int, str | bytes | None, int], ...]
"Name, mode, what is in it (a link's target, a file's bytes, none for a folder), and size."


def every_death(trial: Trial, part: Callable[[Trial], object]) -> Iterator[str]:
    """Do ``part`` once, then put the machine back to every moment at which the process could have died in it.

    Gives the command at which that was. Moments at which all was alike come once.
    """
    moments: dict[tuple[bytes, Files], str] = {}
    machine = trial.machine

    def remember() -> None:
        moment = (pickle.dumps(machine.kernel), _files(machine.root))
        moments.setdefault(moment, " ".join(machine.commands[-1]))

    machine.witness = remember
    part(trial)
    machine.witness = None
    for (kernel, files), command in moments.items():
        machine.kernel = pickle.loads(kernel)  # noqa: S301  made just above
        _put_back(machine.root, files)
        yield command


def _files(root: Path) -> Files:
    found = []
    for folder, folders, names in os.walk(root):
        found += [_file(Path(folder, name), root) for name in sorted(folders + names)]
    return tuple(found)


def _file(path: Path, root: Path) -> tuple[str, int, str | bytes | None, int]:
    name, status = str(path.relative_to(root)), path.lstat()
    if path.is_symlink():
        return name, 0, str(path.readlink()), 0
    if path.is_dir():
        return name, status.st_mode, None, 0
    with path.open("rb") as file:
        content = file.read(status.st_size if status.st_size < WHOLE else BEGINNING)
    return name, status.st_mode, content, status.st_size


def _put_back(root: Path, files: Files) -> None:
    """Make a folder what it was; every file in it is a new one, on which nobody has a lock."""
    shutil.rmtree(root)
    root.mkdir()
    for name, mode, content, size in files:
        path = root / name
        if isinstance(content, str):
            path.symlink_to(content)
            continue
        if content is None:
            path.mkdir()
        else:
            path.write_bytes(content)
            os.truncate(path, size)
        path.chmod(mode)
