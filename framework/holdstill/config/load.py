"""Read the configuration's files."""

from __future__ import annotations

import re
from pathlib import Path

from holdstill.config.complaints import Complaints
from holdstill.config.document import Document
from holdstill.config.model import Config
from holdstill.config.typed import Typist
from holdstill.errors import ExitCode, HoldstillError, NotFoundError, PermissionRefusedError
from holdstill.trust import written_by_others

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
"Names of jobs and guests: they become names of folders and of logical volumes."
ENDINGS = {".yaml", ".yml"}


class NoConfigError(NotFoundError):
    """There is no configuration where it was looked for."""

    code = ExitCode.CONFIG


def config_files(place: Path) -> list[Path]:
    """Give the files of a configuration: one file, or the ``*.yaml`` of a folder in order of name.

    Raises NoConfigError if there is none.
    """
    try:
        there = _files_in(place) if place.is_dir() else [place] if place.exists() else []
    except PermissionError:
        raise PermissionRefusedError(f"{place} can be read by root only; try «sudo holdstill …».") from None
    except OSError as error:
        raise HoldstillError(f"{place} cannot be read: {error.strerror}.") from None
    if not there:
        raise NoConfigError(
            f"There is no configuration at {place}: write {place if place.suffix else place / 'holdstill.yaml'} "
            "(the README has a first one), or name another with --config."
        )
    return there


def _files_in(folder: Path) -> list[Path]:
    """Give a folder's files in order, but hidden ones: an editor has ``.#site.yaml`` while somebody edits."""
    return sorted(
        path for path in folder.iterdir() if path.suffix in ENDINGS and not path.name.startswith(".")
    )


def load(place: Path) -> tuple[Config, Typist, Complaints]:
    """Read the configuration at ``place``. What is wrong with it is in the complaints, not raised yet."""
    document, complaints = Document(), Complaints()
    files = config_files(place)
    if place.is_dir():
        _only_ours(place, complaints)
    for path in files:
        if _trustworthy(path, complaints):
            document.add(path, complaints)
    typist = Typist(document, complaints)
    config = typist.struct(Config, document.content, ()) or Config()
    for section in ("guests", "jobs"):
        for name in getattr(config, section):
            if not NAME.fullmatch(name):
                typist.complain(
                    (section, name),
                    f"{name!r} cannot be a name: use letters, digits, '_', '.' and '-', at most 64",
                )
    return config, typist, complaints


def _trustworthy(path: Path, complaints: Complaints) -> bool:
    """Tell whether a file can be read and is root's own: a configuration is root's code."""
    try:
        path.open("rb").close()
        return _only_ours(path, complaints)
    except OSError as error:
        complaints.add(str(path), f"this file cannot be read: {error.strerror}")
        return False


def _only_ours(path: Path, complaints: Complaints) -> bool:
    """Tell whether nobody else may write it, or what it is in; complain if somebody may."""
    if found := written_by_others(path):
        complaints.add(
            str(found),
            "this is run as root, but others may write it; make it safe with "
            f"«chown root {found}; chmod go-w {found}»",
        )
        return False
    return True
