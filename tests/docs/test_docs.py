"""What the documentation says is true: its pages, its configurations, its plugins, and its tutorial."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest

from holdstill.config.load import load
from holdstill.plugins.load import find
from holdstill.plugins.registry import Registry
from holdstill.run.job import Resolver
from holdstill.words import RunInfo
from holdstill_plugins.prometheus import HELP

from .blocks import Block, Command, blocks, commands, writing
from .terminal import type_in

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
TUTORIAL = DOCS / "tutorial.md"
PLACE = "/tmp/holdstill-tutorial"
HALF_AN_HOUR = DOCS / "how-to" / "write-a-plugin-in-half-an-hour.md"
PLUGIN_PLACE = "/tmp/holdstill-plugin"
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(#[^)]*)?\)")


def all_blocks(language: str) -> list[Block]:
    """Give the blocks of all pages that are in a language."""
    return [block for page in PAGES for block in blocks(page, language)]


def is_plugin(block: Block) -> bool:
    """Tell whether a block is a plugin, to be loaded from a folder."""
    return "@hookimpl" in block.text


# The reference


def test_the_generated_reference_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, DOCS / "generate.py", "--check"], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_every_metric_is_on_the_page_about_being_told() -> None:
    rows = (DOCS / "how-to" / "be-told.md").read_text().splitlines()
    told = {row for row in rows if row.startswith("| `holdstill_")}
    assert told == {f"| `holdstill_{name}` | {what} |" for name, what in HELP.items()}


# Links


def heading_anchors(page: Path) -> set[str]:
    """Give the anchors that a page's headings get."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {"#" + re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    base = (
        page.parent.parent if page.parent.name == "texts" else page.parent
    )  # they become part of a page there
    for target, anchor in LINK.findall(page.read_text()):
        there = (base / unquote(target)).resolve() if target else page
        assert there.exists(), f"{page.name}: {target}"
        if anchor and page.parent.name != "texts":
            assert anchor in heading_anchors(there), f"{page.name}: {target}{anchor}"


# Configurations


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that only its owner writes."""
    tmp_path.chmod(0o755)
    return tmp_path


def write(folder: Path, name: str, text: str) -> None:
    """Write a file as root would."""
    path = folder / name
    path.write_text(text)
    path.chmod(0o644)


def with_what_it_adds_to(block: Block) -> list[Block]:
    """Give a block with those before it on its page, if it says nothing of guests itself: it adds to them."""
    if re.search(r"^guests:", block.text, re.MULTILINE):
        return [block]
    before = [other for other in blocks(block.page, "yaml") if other.line < block.line]
    return [*before, block]


def drop_in_the_pages_plugins(page: Path, folder: Path) -> Path:
    """Put every plugin of a page into a folder, under the name that the page gives it."""
    drop_ins = folder / "plugins"
    drop_ins.mkdir(mode=0o755)
    for number, block in enumerate(filter(is_plugin, blocks(page, "python"))):
        write(drop_ins, Path(block.path or f"example{number}.py").name, block.text)
    return drop_ins


def complaints_about(folder: Path, plugins: Registry) -> Iterator[str]:
    """Give all complaints about the configuration in a folder, resolving every job of it."""
    config, typist, complaints = load(folder)
    for job in config.jobs:
        Resolver(config, plugins, typist, RunInfo(id="run", job=job, trees=f"/run/holdstill/{job}")).job()
    yield from complaints._sentences


@pytest.mark.parametrize("block", all_blocks("yaml"), ids=str)
def test_every_configuration_is_valid(block: Block, folder: Path) -> None:
    plugins = Registry(find(drop_in_the_pages_plugins(block.page, folder)))
    place = folder / "etc"
    place.mkdir(mode=0o755)
    for number, part in enumerate(with_what_it_adds_to(block)):
        write(place, f"{number}.yaml", part.text)
    guests = ", ".join(load(place)[0].guests)
    write(place, "every-guest.yaml", f"jobs: {{every-guest: {{guests: [{guests}]}}}}")
    assert list(complaints_about(place, plugins)) == []


# Python


@pytest.mark.parametrize("block", all_blocks("python"), ids=str)
def test_every_piece_of_python_compiles(block: Block) -> None:
    compile(block.text, str(block), "exec")


@pytest.mark.parametrize("block", [block for block in all_blocks("python") if is_plugin(block)], ids=str)
def test_every_plugin_loads_from_a_folder(block: Block, folder: Path) -> None:
    write(folder, "example.py", block.text)
    [found] = [found for found in Registry(find(folder)).found if found.name == "example"]
    assert found.broken == ""


# The tutorial


def loops_attach() -> bool:
    """Tell whether this machine lets us have loop devices, as the tutorial needs."""
    return os.geteuid() == 0 and Path("/dev/loop-control").exists()


def steps_of(page: Path) -> list[Command]:
    """Give all that a page says to do, in order."""
    steps: list[Command] = []
    for block in blocks(page, "sh", "console", "yaml", "python"):
        if not (block.path or block.language in {"sh", "console"}):
            continue  # it is shown only
        steps += commands(block) if block.language in {"sh", "console"} else [writing(block)]
    return steps


def follow(page: Path, written_place: str, place: Path) -> None:
    """Do all that a page says, in a folder of ours in the place of its own."""
    steps = steps_of(page)
    answers = type_in([step.line.replace(written_place, str(place)) for step in steps], ROOT)
    asked = [step.line == "echo $?" for step in steps[1:]]
    for (status, said), step, may_fail in zip(answers, steps, [*asked, False], strict=False):
        assert status == 0 or may_fail, f"{step} ended with {status}:\n{said}"
        wrong = step.checked and not step.printed_as_told(said.replace(str(place), written_place))
        assert not wrong, f"{step} printed:\n{said}"
    assert len(answers) == len(steps), "the shell ended before the page did"
    assert not place.exists()


@pytest.mark.skipif(not loops_attach(), reason="the tutorial needs root and loop devices")
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    follow(TUTORIAL, PLACE, tmp_path / Path(PLACE).name)


def test_a_plugin_is_written_in_half_an_hour_as_its_page_says(tmp_path: Path) -> None:
    follow(HALF_AN_HOUR, PLUGIN_PLACE, tmp_path / Path(PLUGIN_PLACE).name)
