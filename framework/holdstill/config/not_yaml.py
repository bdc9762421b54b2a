"""What is wrong with a file that is not YAML, in words of who writes one."""

from __future__ import annotations

import yaml

INDENTED = "it is indented otherwise than the lines that it belongs to"
KNOWN = {
    "found character '\\t' that cannot start any token": "a tab; indent with spaces",
    "expected <block end>": INDENTED,
    "mapping values are not allowed here": f"a «:» that no key can have here; {INDENTED}, or its text needs quotes",
}
"How the parser's words begin, and what they mean to most who are told them."


def mark_of(error: yaml.MarkedYAMLError) -> yaml.Mark | None:
    """Give the place to look at: where a quote was opened, not the file's end."""
    return error.context_mark if _in_quotes(error) else error.problem_mark


def sentence(error: yaml.MarkedYAMLError) -> str:
    """Say what is wrong there."""
    problem = "a quote that is never closed" if _in_quotes(error) else str(error.problem)
    known = [words for beginning, words in KNOWN.items() if problem.startswith(beginning)]
    return f"this is not YAML: {known[0] if known else problem + _opened(error)}"


def _in_quotes(error: yaml.MarkedYAMLError) -> bool:
    return error.context == "while scanning a quoted scalar" and "end of stream" in str(error.problem)


def _opened(error: yaml.MarkedYAMLError) -> str:
    """Say where the bracket was opened that something is wrong in."""
    within, mark = error.context or "", error.context_mark
    return f" (the bracket is opened in line {mark.line + 1})" if "flow" in within and mark else ""
