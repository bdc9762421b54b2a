"""What a modelled command is, how it refuses, and how it reads its arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from holdstill.testing.machine import Machine

Work: TypeAlias = "Callable[[Machine, list[str]], str | None]"
"What a command does to the machine, given its arguments; it gives what it prints, or raises :class:`Refused`."
Answers: TypeAlias = "Callable[[str], Sequence[str]]"
"What a program beside us says to a line that it is told: to an empty one when it is started."


def says_nothing(_line: str) -> Sequence[str]:
    """Be a program that is only there."""
    return ()


class Tool(NamedTuple):
    """A command that the model does not know by itself: a plugin's own tool. It keeps what it changes in the kernel."""

    work: Work
    part: Work = lambda _machine, _arguments: None
    "What it has done when it is killed in the middle."
    answers: Answers = says_nothing
    "What it says as a program beside us."


class Refused(Exception):  # noqa: N818  it is an answer, not a defect
    """The command says no, as the real one would."""

    def __init__(self, status: int, err: str, out: str = "") -> None:
        self.status = status
        self.out = out
        super().__init__(err)


class Arguments:
    """The options and words of a command. Options with a value are named; all others are flags."""

    def __init__(
        self, arguments: Sequence[str], *, valued: Sequence[str] = (), flags: Sequence[str] = ()
    ) -> None:
        self.words: list[str] = []
        self._values: dict[str, list[str]] = {}
        waiting = list(arguments)
        while waiting:
            word = waiting.pop(0)
            name, equals, value = word.partition("=")
            if name in valued:
                self._values.setdefault(name, []).append(value if equals else waiting.pop(0))
            elif word in flags:
                self._values[word] = [""]
            elif word.startswith("-") and word != "-":
                raise AssertionError(f"the model does not know the option {word!r}")
            else:
                self.words.append(word)

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __getitem__(self, name: str) -> str:
        return self._values[name][-1]

    def get(self, name: str, default: str = "") -> str:
        """Give an option's value."""
        return self._values.get(name, [default])[-1]

    def all(self, name: str) -> list[str]:
        """Give all values of an option that may come more than once."""
        return self._values.get(name, [])
