"""One run, as the phases and the plugins see it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from holdstill.facts import Fact
from holdstill.host import Host
from holdstill.host.interruption import Interruption
from holdstill.plugins.registry import Registry
from holdstill.run.job import Guest, Job
from holdstill.run.outcome import Outcome
from holdstill.words import Exposed, Hold, MakeSnapshots, Progress, Promised, RunInfo

if TYPE_CHECKING:
    from holdstill.journal.records import Promise


class Promises(Protocol):
    """Where promises are kept: the journal, or a plan."""

    @property
    def open_promises(self) -> tuple[Promise, ...]:
        """What is still to be undone."""

    def promise(self, *, plugin: str, guest: str, what: str, by_hand: str, facts: dict[str, Fact]) -> Promise:
        """Keep a promise."""

    def undone(self, promise: Promised) -> None:
        """Note that a promise is kept."""


class Ready(NamedTuple):
    """A guest, looked at, and what makes its snapshots."""

    guest: Guest
    make: MakeSnapshots


class Run:
    """One execution of a job."""

    def __init__(
        self,
        *,
        info: RunInfo,
        host: Host,
        plugins: Registry,
        journal: Promises,
        job: Job | None = None,
        interruption: Interruption | None = None,
        release_within: float = 60,
        progress: Progress | None = None,
    ) -> None:
        self.info = info
        self.host = host
        self.plugins = plugins
        self.journal = journal
        self.job = job or Job(groups=(), backup=None, verify=(), lease=0, release_within=release_within)
        self.interruption = interruption or Interruption()
        self.progress: Progress = progress or Silent()
        self.ready: list[list[Ready]] = []
        "Guests whose snapshots only need to be made, group by group; from the end of ``prepare`` on."
        self.exposed: tuple[Exposed, ...] = ()
        "What can be read, guest by guest; empty until ``expose`` is over."
        self.outcome = Outcome(run=info.id, job=info.job, session=info.session)

    def hold(self, plugin: str, guest: str = "") -> Hold:
        """Give what a plugin makes its promises to."""
        return _Hold(self.journal, plugin, guest)

    def call(self, step: Any, hook: str, **arguments: Any) -> Any:
        """Call a step's hook."""
        return self.plugins.call(step.plugin, hook, step=step, host=self.host, **arguments)


class Silent:
    """Progress that nobody watches."""

    def begin(self, what: str, total: int) -> None:
        """Pass over it."""

    def at(self, amount: int) -> None:
        """Pass over it."""


class _Hold:
    """A plugin's promises, in its name."""

    def __init__(self, journal: Promises, plugin: str, guest: str) -> None:
        self._journal = journal
        self._plugin = plugin
        self._guest = guest

    def promise(self, what: str, /, *, by_hand: Sequence[str] | str, **facts: Fact) -> Promised:
        """See :meth:`holdstill.words.Hold.promise`."""
        line = by_hand if isinstance(by_hand, str) else shlex.join(by_hand)
        return self._journal.promise(
            plugin=self._plugin, guest=self._guest, what=what, by_hand=line, facts=facts
        )

    def undone(self, promised: Promised, /) -> None:
        """See :meth:`holdstill.words.Hold.undone`."""
        self._journal.undone(promised)
