"""The fenced blocks of a page, and how the tutorial's are carried out.

A ``sh`` block is run line by line. In a ``console`` block ``$ `` begins a command, and the lines up to the next one
are what it prints; in them ``…`` stands for anything on the line, and a line ``…`` for any lines, or none. A
``yaml`` or ``python`` block is written to the last path that the text before it names. A command ends with
status 0, or the next one is ``echo $?``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"`(/[^`]+\.\w+)`")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    path: str = ""
    "The last path that the text before it names."

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


@dataclass
class Command:
    """A command of the tutorial, and what it should print."""

    block: Block
    line: str
    checked: bool
    "Whether what it prints is told."
    expected: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.block}: {self.line}"

    def printed_as_told(self, said: str) -> bool:
        """Tell whether it printed what is told; empty lines do not count."""
        pattern = "".join(_line_pattern(line) for line in self.expected if line)
        lines = (line for line in said.splitlines(keepends=True) if line.strip())
        return re.fullmatch(pattern, "".join(lines)) is not None


def blocks(page: Path, *languages: str) -> list[Block]:
    """Give the fenced blocks of a page in these languages."""
    return [block for block in _blocks(page) if block.language in languages]


def _blocks(page: Path) -> Iterator[Block]:
    text, end = page.read_text(), 0
    for match in FENCE.finditer(text):
        named = PATH.findall(text[end : match.start()])
        line = text.count("\n", 0, match.start()) + 1
        yield Block(page, line, match["language"], match["text"], named[-1] if named else "")
        end = match.end()


def commands(block: Block) -> list[Command]:
    """Give the commands of a ``sh`` or ``console`` block."""
    if block.language == "sh":
        return [Command(block, line, checked=False) for line in block.text.splitlines()]
    found: list[Command] = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            found.append(Command(block, line[2:], checked=True))
        else:
            found[-1].expected.append(line)
    return found


def _line_pattern(line: str) -> str:
    if line == "…":
        return r"(?:.*\n)*?"
    return ".*".join(map(re.escape, line.split("…"))) + r"\n"


def writing(block: Block) -> Command:
    """Give the command that writes a block to the path before it."""
    quoted = block.text.replace("'", "'\\''")
    return Command(block, f"printf %s '{quoted}' > {block.path}", checked=False)
