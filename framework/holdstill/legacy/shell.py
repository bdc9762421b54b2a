"""Assignments of a shell script, read without running a shell.

What any shell would make of them for certain is understood: quotes, backslashes, and variables that were assigned
before. All else is left out and told; a variable that it may have changed is not known any more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

NAME = r"[A-Za-z_][A-Za-z0-9_]*"
ASSIGNMENT = re.compile(rf"({NAME})=")
TOUCHED = re.compile(rf"({NAME})(?:\[[^]\n]*\])?\+?=")
"What may be an assignment where nobody knows what a shell would do."
DECLARING = re.compile(rf"(?:export|readonly)(?=[ \t])|{NAME}(?=[ \t;\n]|$)")
BLANKS = re.compile(r"(?:[ \t]|\\\n)*")
BETWEEN = re.compile(r"(?:[ \t\n;]|\\\n|#[^\n]*)*")
END = re.compile(r"(?:#[^\n]*)?(?:[;\n]|$)")

PLAIN = re.compile(r"[^ \t\n'\"\\$`;&|<>()~\0]+")
SINGLE = re.compile(r"'([^'\0]*)'")
QUOTE = re.compile('"')
DOUBLE = re.compile(r"[^\"\\$`\0]+")
VARIABLE = re.compile(rf"\$(?:({NAME})|{{({NAME})}})")
ESCAPED = re.compile(r"\\([^\0])", re.DOTALL)

COMMAND = re.compile(
    r"(?:(?<=[ \t;])(?<!\\[ \t;])#[^\n]*|'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.|[^'\"\\\n])*", re.DOTALL
)
"A command that is left out, to its end, as far as that can be told."
OPENING = re.compile(
    r"(?:^|[;&|({]\s*)(?:if|for|while|until|case|select|function|exit|return|exec|eval|read|unset|\{|[\w.-]+\s*\(\))"
    r"(?=[\s;]|$)|<<|(?:&&|\|)\s*$"
)
"What makes it unknown which of the lines after it are carried out."


class LeftOut(NamedTuple):
    """A part of a script that was not understood."""

    line: int
    text: str
    why: str


class _NotPlainError(Exception):
    """Only a shell could tell what this is."""


class Assignments:
    """What a script assigns, and what of it was left out."""

    def __init__(self, text: str, before: Mapping[str, str]) -> None:
        self.values = dict(before)
        "What each variable is at the script's end."
        self.lines: dict[str, int] = {}
        "Where this script last assigned it."
        self.used: set[str] = set()
        "Variables that others were made of."
        self.unknown: set[str] = set()
        "Variables that what was left out may have assigned."
        self.left_out: list[LeftOut] = []
        self._text, self._at = text, 0
        while self._goes_on():
            begin = self._at
            try:
                self._command()
            except _NotPlainError as error:
                self._leave_out(begin, str(error))

    def _goes_on(self) -> bool:
        self._skip(BETWEEN)
        return self._at < len(self._text)

    def _skip(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        if match := pattern.match(self._text, self._at):
            self._at = match.end()
        return match

    def _line(self, at: int) -> int:
        return self._text.count("\n", 0, at) + 1

    def _command(self) -> None:
        """Read assignments up to the command's end; if anything else is in it, none of them is one."""
        made: dict[str, str] = {}
        begin = self._at
        declared = bool(re.match("(?:export|readonly)[ \t]", self._text[begin : begin + 9]))
        while not self._skip(END):
            if assignment := self._skip(ASSIGNMENT):
                known = self.values if declared else self.values | made
                made[assignment[1]] = self._value(known, declared=declared)
            elif not (declared and self._skip(DECLARING)):
                raise _NotPlainError("it is more than an assignment")
            self._skip(BLANKS)
        self.values |= made
        self.unknown -= made.keys()
        self.lines |= dict.fromkeys(made, self._line(begin))

    def _value(self, known: Mapping[str, str], *, declared: bool) -> str:
        """Read a word. That of a command, as ``export`` is one, would be split and be taken for a pattern."""
        parts = []
        while part := self._skip(PLAIN) or self._skip(SINGLE) or self._skip(ESCAPED) or self._skip(VARIABLE):
            if declared and (part.re is VARIABLE or (part.re is PLAIN and re.search(r"[*?[{]", part[0]))):
                raise _NotPlainError("a shell may split it, or take it for a pattern")
            parts.append(self._expanded(part, known))
        if self._skip(QUOTE):
            return "".join(parts) + self._quoted(known) + self._value(known, declared=declared)
        if not re.match(r"[ \t\n;]|$", self._text[self._at : self._at + 1]):
            raise _NotPlainError("only a shell could tell what that is")
        return "".join(parts)

    def _quoted(self, known: Mapping[str, str]) -> str:
        parts = []
        while part := self._skip(DOUBLE) or self._skip(ESCAPED) or self._skip(VARIABLE):
            keeps_backslash = part.re is ESCAPED and part[1] not in '$`"\\\n'
            parts.append(part[0] if keeps_backslash else self._expanded(part, known))
        if not self._skip(QUOTE):
            raise _NotPlainError("only a shell could tell what that is")
        return "".join(parts)

    def _expanded(self, part: re.Match[str], known: Mapping[str, str]) -> str:
        if part.re is VARIABLE:
            name = part[1] or part[2]
            if name not in known:
                raise _NotPlainError(f"${name} is not known here")
            self.used.add(name)
            return known[name]
        if part.re is ESCAPED:
            return part[1].replace("\n", "")
        return part[1] if part.re is SINGLE else part[0]

    def _leave_out(self, begin: int, why: str) -> None:
        """Pass over a command, or over all that follows if it is unknown what of that is carried out."""
        self._at = begin
        self._skip(COMMAND)
        text = self._text[begin : self._at]
        if to_the_end := bool(OPENING.search(text) or not _is_whole(text) or not self._skip(END)):
            self._at = len(self._text)
            why = "which of it is carried out is not known, to the file's end"
        touched = dict.fromkeys(TOUCHED.findall(self._text[begin : self._at]))
        for name in touched:
            self.values.pop(name, None)
            self.lines.pop(name, None)
        self.unknown |= touched.keys()
        if to_the_end:
            why += f", and so with {', '.join(touched)}" if touched else ""
            text = self._text[begin:]
        self.left_out.append(LeftOut(self._line(begin), text.strip().partition("\n")[0], why))


def _is_whole(command: str) -> bool:
    """Tell whether all that a command opens is closed in it."""
    pairs = all(command.count(first) == command.count(last) for first, last in ("()", "{}"))
    return pairs and command.count("`") % 2 == 0
