"""What the unit tests share: configurations, journals and plugins that exist for the length of a test."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest
import structlog

from holdstill.config.load import load
from holdstill.config.model import Config
from holdstill.errors import ConfigError
from holdstill.journal.journal import Journal
from holdstill.journal.records import Header
from holdstill.journal.shelf import journals_in

BOOT = "the-boot-of-the-test"


def read(place: Path) -> tuple[Config, tuple[str, ...]]:
    """Read a configuration; give what it says and what is wrong with it."""
    config, _, complaints = load(place)
    try:
        complaints.raise_any()
    except ConfigError as error:
        return config, error.complaints
    return config, ()


@pytest.fixture(scope="session")
def read_place() -> Callable[[Path], tuple[Config, tuple[str, ...]]]:
    return read


@pytest.fixture(scope="session")
def read_text(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str | bytes], tuple[Config, tuple[str, ...]]]:
    """Read a configuration of one file, called ``site.yaml``, from its text."""
    path = tmp_path_factory.mktemp("configuration") / "site.yaml"

    def from_text(text: str | bytes) -> tuple[Config, tuple[str, ...]]:
        path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
        return read(path)

    return from_text


@pytest.fixture
def complaints(read_text) -> Callable[[str | bytes], list[str]]:
    """Give all that is wrong with a configuration, each with its line and without its folder."""

    def told(text: str | bytes) -> list[str]:
        text = dedent(text).lstrip("\n") if isinstance(text, str) else text
        return [complaint.partition("/site.yaml")[2].lstrip(": ") for complaint in read_text(text)[1]]

    return told


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def header() -> Header:
    return a_header()


def a_header(**changes: object) -> Header:
    fields: dict[str, object] = {
        "id": "20240101T000000Zabcd",
        "job": "nightly",
        "session": "default",
        "trees": "/run/holdstill/nightly",
        "started": 1.5,
        "boot": BOOT,
        "pid": 1,
        "release_within": 60.0,
    }
    return Header(**(fields | changes))  # type: ignore[arg-type]


@pytest.fixture
def make_header() -> Callable[..., Header]:
    return a_header


@pytest.fixture
def make_journal(state: Path) -> Iterator[Callable[..., Journal]]:
    """Begin journals of runs, each with an id of its own; they are left when the test is over."""
    made: list[Journal] = []
    numbers = itertools.count(1)

    def begin(**changes: object) -> Journal:
        given = a_header(**{"id": f"20240101T00000{next(numbers)}Zabcd", **changes})
        journals_in(state).mkdir(mode=0o700, parents=True, exist_ok=True)
        made.append(Journal.create(journals_in(state), given))
        return made[-1]

    yield begin
    for journal in made:
        try:
            journal.leave()
        except OSError:  # the test did so already
            continue


@pytest.fixture
def journal(make_journal) -> Journal:
    return make_journal()


@pytest.fixture
def drop_in(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Write single-file plugins into a folder that only we can write; give the folder."""
    folder = tmp_path / "plugins"
    folder.mkdir(mode=0o755)
    before = set(sys.modules)

    def write(name: str, text: str) -> Path:
        path = folder / f"{name}.py"
        path.write_text(dedent(text))
        path.chmod(0o644)
        return folder

    yield write
    for name in set(sys.modules) - before:
        if name.startswith("holdstill_site_"):
            del sys.modules[name]


@pytest.fixture
def clean_logging() -> Iterator[None]:
    yield
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
