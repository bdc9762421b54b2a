"""One run, as the phases and the plugins see it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from holdstill.errors import PluginBugError, StorageError
from holdstill.facts import Fact
from holdstill.host import Holder, Host
from holdstill.host.interruption import Interruption
from holdstill.journal.records import Promise
from holdstill.journal.shelf import BOOT, State, holds
from holdstill.places import folder_of
from holdstill.plugins.registry import CORE, Registry
from holdstill.run.job import Guest, Job
from holdstill.run.openers import openers_of, places_of
from holdstill.run.outcome import Outcome
from holdstill.words import Exposed, MakeSnapshots, Progress, Promised, RunInfo, Step

if TYPE_CHECKING:
    from holdstill.journal.records import Header


class Promises(Protocol):
    """Where promises are kept: the journal, or a plan."""

    @property
    def open_promises(self) -> tuple[Promise, ...]:
        """What is still to be undone."""

    def promise(self, made: Promise) -> Promise:
        """Keep a promise."""

    def undone(self, promise: Promised) -> None:
        """Note that a promise is kept."""

    def kept_open(self, by: list[str]) -> None:
        """Note who keeps open what is to be let go of."""


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
        job: Job,
        interruption: Interruption | None = None,
        state: Path,
        progress: Progress | None = None,
    ) -> None:
        self.info = info
        self.host = host
        self.plugins = plugins
        self.journal = journal
        self.job = job
        self.interruption = interruption or Interruption()
        self.progress: Progress = progress or Silent()
        self._state = state
        self.ready: list[list[Ready]] = []
        "Guests whose snapshots only need to be made, group by group; from the end of ``prepare`` on."
        self.exposed: tuple[Exposed, ...] = ()
        "What can be read, guest by guest; empty until ``expose`` is over."
        self.kept: dict[str, list[str]] = {}
        "Files that were kept for whoever restores, by guest."
        self.outcome = Outcome(run=info.id, job=info.job, session=info.session)

    def around(self, plugin: str) -> Step[Any] | None:
        """Give the step, with its options, of a plugin that takes part in the phases; ``None`` if the job has none.

        Known to ``post`` and ``recover``, too: the options travel in the journal, so no secret may be in them.
        """
        return next((step for step in self.job.around if step.plugin == plugin), None)

    def folder_of(self, plugin: str) -> Path:
        """Give a folder for what a plugin keeps from one run to the next; only root looks into it.

        Raises StorageError if it cannot be made.
        """
        folder = folder_of(self._state, plugin)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"The folder {folder} cannot be made: {error.strerror}.") from None
        return folder

    def others(self) -> tuple[RunInfo, ...]:
        """Give the other runs of this host that are at work, or hold something for their caller."""
        found = holds(self._state, self.host.read(BOOT).strip())
        others = [held for held in found if held.run != self.info.id and held.state is not State.ABANDONED]
        return tuple(info_of(held.story.header) for held in others if held.story.header)

    def places(self) -> dict[int, tuple[str, ...]]:
        """Give the mount points and devices that must be free before each promise, by its number, can be kept."""
        return {
            promise.number: places_of(promise, self.plugins, self.host)
            for promise in self.journal.open_promises
        }

    def holders(self) -> tuple[Holder, ...]:
        """Tell who keeps open, at this moment, what this run holds."""
        return openers_of(self.journal.open_promises, self.plugins, self.host)

    def hold(self, plugin: str, guest: str = "") -> StepHold:
        """Give what a plugin makes its promises to."""
        return StepHold(self, plugin, guest)

    def keep(self, guest: str, name: str, text: str) -> None:
        """Keep a small text for whoever restores the guest: see :meth:`holdstill.words.Hold.keep`."""
        called = f"{guest}@{name}"
        path = f"{self.info.trees}/{called}"
        self.hold(CORE).promise(f"file {path}", by_hand=["rm", "--force", path], file=path)
        self.host.write(path, text)
        self.kept.setdefault(guest, []).append(path)
        self.outcome.kept[called] = text

    def call(self, step: Any, hook: str, **arguments: Any) -> Any:
        """Call a step's hook."""
        return self.plugins.call(step.plugin, hook, step=step, host=self.host, **arguments)


def info_of(header: Header) -> RunInfo:
    """Give what a journal's first line tells of its run."""
    return RunInfo(id=header.id, job=header.job, session=header.session, trees=header.trees)


class Silent:
    """Progress that nobody watches."""

    def begin(self, what: str, total: int) -> None:
        """Pass over it."""

    def at(self, amount: int) -> None:
        """Pass over it."""


class StepHold:
    """A plugin's promises, in its name."""

    def __init__(self, run: Run, plugin: str, guest: str) -> None:
        self._run = run
        self._journal = run.journal
        self._plugin = plugin
        self._guest = guest
        self._made: list[Promise] = []

    @property
    def promised_anything(self) -> bool:
        """Whether anything was promised here, undone or not."""
        return bool(self._made)

    @property
    def still_promised(self) -> list[Promise]:
        """What was promised here, and is not undone."""
        return [promise for promise in self._journal.open_promises if promise in self._made]

    def promise(
        self, what: str, /, *, by_hand: Sequence[str] | str, afterwards: bool = False, **facts: Fact
    ) -> Promised:
        """See :meth:`holdstill.words.Hold.promise`."""
        if not self._run.plugins.implements(self._plugin, "holdstill_undo"):
            raise PluginBugError(
                f"The plugin {self._plugin!r} promises to undo «{what}», and has no holdstill_undo that would."
            )
        line = by_hand if isinstance(by_hand, str) else shlex.join(by_hand)
        made = Promise(
            number=0,
            plugin=self._plugin,
            guest=self._guest,
            what=what,
            by_hand=line,
            facts=facts,
            afterwards=afterwards,
        )
        self._made.append(self._journal.promise(made))
        return self._made[-1]

    def undone(self, promised: Promised, /) -> None:
        """See :meth:`holdstill.words.Hold.undone`."""
        self._journal.undone(promised)

    def keep(self, name: str, text: str, /) -> None:
        """See :meth:`holdstill.words.Hold.keep`."""
        self._run.keep(self._guest, name, text)
