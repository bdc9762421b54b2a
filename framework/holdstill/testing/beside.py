"""What a modelled machine has in the place of a program beside us."""

from __future__ import annotations

from collections.abc import Sequence

from holdstill.testing.commands.arguments import Tool, says_nothing


class Conversation:
    """A :class:`~holdstill.host.Companion` that says what its tool answers, and nothing if it is none."""

    def __init__(self, tool: Tool | None = None, told: Sequence[str] = ()) -> None:
        self._answers = tool.answers if tool else says_nothing
        self._said: list[str] = []
        for line in ("", *told):
            self.tell(line)
        self.first = self.hear(0)

    def tell(self, line: str) -> None:
        """See :meth:`holdstill.host.Companion.tell`."""
        self._said += self._answers(line)

    def hear(self, within: float) -> str:
        """See :meth:`holdstill.host.Companion.hear`."""
        del within
        return self._said.pop(0) if self._said else ""
