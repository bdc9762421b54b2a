"""A host that writes down what would be done, and looks at the real one for what is asked."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from holdstill.errors import NotPlannableError
from holdstill.host import Answer, Companion, Holder, Host, Node


class Nobody:
    """A companion that is not there."""

    first = ""

    def tell(self, line: str) -> None:
        """Pass over it."""

    def hear(self, within: float) -> str:
        """It says nothing."""
        del within
        return ""


class PlanningHost:
    """Asks for real and changes nothing.

    What a planned command would have made does not exist. A question about it is put to what it would
    show instead (a snapshot shows its origin); where there is no such thing, the plan ends with a word.
    """

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lines: list[str] = []
        self._shows: dict[str, str] = {}

    def take(self) -> list[str]:
        """Give the commands that were planned since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def ask(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        deadline: float = 60,
        env: Mapping[str, str] | None = None,
    ) -> Answer:
        """See :meth:`holdstill.host.Host.ask`."""
        return self._host.ask(*(self._shown(word) for word in argv), ok=ok, deadline=deadline, env=env)

    def run(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        deadline: float = 300,
        planned: str = "",
        env: Mapping[str, str] | None = None,
        watch: Callable[[str], None] | None = None,
    ) -> Answer:
        """See :meth:`holdstill.host.Host.run`."""
        del ok, deadline, env, watch
        self._lines.append(shlex.join(argv))
        self._shows.setdefault(planned, "")  # what a planned command makes is not there to be asked about
        return Answer(argv, 0, out=planned)

    @contextmanager
    def companion(self, *argv: str, **how: object) -> Iterator[Companion]:
        """See :meth:`holdstill.host.Host.companion`."""
        del how
        self.note(f"beside it: {shlex.join(argv)}")
        yield Nobody()

    def beside(self, *argv: str) -> Companion:
        """See :meth:`holdstill.host.Host.beside`: nothing is done that it would have to watch over."""
        del argv
        return Nobody()

    def shielded(self) -> AbstractContextManager[None]:
        """See :meth:`holdstill.host.Host.shielded`."""
        return nullcontext()

    @contextmanager
    def alone_with(self, *disks: str, within: float = 60) -> Iterator[None]:
        """See :meth:`holdstill.host.Host.alone_with`: nothing is done that could disturb others."""
        del disks, within
        yield

    def imagine(self, path: str, *, shows: str = "") -> None:
        """Remember that ``path`` will exist only when the plan is carried out, and what it will show then."""
        self._shows[path] = shows

    def note(self, text: str) -> None:
        """Put a remark into the plan."""
        self._lines.append(f"# {text}")

    def imagined(self, path: str) -> bool:
        """Tell whether ``path`` will exist only when the plan is carried out."""
        return path in self._shows

    def look(self, path: str) -> Node | None:
        """See :meth:`holdstill.host.Host.look`."""
        shown = self._shows.get(path, path)
        return self._host.look(shown) if shown else None

    def read(self, path: str) -> str:
        """See :meth:`holdstill.host.Host.read`."""
        return self._host.read(path)

    def write(self, path: str, content: str) -> None:
        """See :meth:`holdstill.host.Host.write`."""
        del content
        self._lines.append(f"# write {shlex.quote(path)}")

    def started_for(self, run: str) -> None:
        """Nothing is started."""

    def still_running(self, run: str, session: int) -> list[int]:
        """See :meth:`holdstill.host.Host.still_running`."""
        return self._host.still_running(run, session)

    def pause(self, seconds: float, *, until: Sequence[int] = ()) -> float:
        """Nothing that would have to be waited for happens."""
        del until
        return seconds

    def holders(self, places: Sequence[str]) -> tuple[Holder, ...]:
        """See :meth:`holdstill.host.Host.holders`."""
        return self._host.holders(places)

    @contextmanager
    def beneath(self, root: str, path: str) -> Iterator[str]:
        """See :meth:`holdstill.host.Host.beneath`."""
        yield f"{root}/{path.strip('/')}"

    def read_beneath(self, root: str, path: str) -> str | None:
        """See :meth:`holdstill.host.Host.read_beneath`."""
        raise NotPlannableError(f"what /{path.strip('/')} of the guest says is known once {root} is mounted")

    def installed(self, tool: str) -> bool:
        """See :meth:`holdstill.host.Host.installed`."""
        return self._host.installed(tool)

    def _shown(self, word: str) -> str:
        """Give what to ask about in place of a word: a path, or a list of paths."""
        return ",".join(map(self._shown_path, word.split(",")))

    def _shown_path(self, path: str) -> str:
        if path not in self._shows or not path:
            return path
        if not self._shows[path]:
            raise NotPlannableError(f"what is inside {path} is known once it is there")
        return self._shows[path]
