"""The framework's own part of every phase, as a plugin like any other.

It is registered first, so pluggy calls it last: whatever a site's plugin does in a phase comes before,
and what it wraps is wrapped around this.
"""

from __future__ import annotations

from pluggy import HookimplMarker

from holdstill.facts import Facts
from holdstill.host import Host
from holdstill.plugins import registry
from holdstill.plugins.load import Found
from holdstill.run import backup, expose, folders, prepare, release, tend, verify
from holdstill.run.run import Run
from holdstill.words import Search, Stray

hookimpl = HookimplMarker("holdstill")


class Lifecycle:
    """What happens in each phase."""

    @hookimpl
    def holdstill_prepare(self, run: Run) -> None:
        """Look at everything; complain of all at once."""
        prepare.look(run)
        run.ready = expose.ready(run)

    @hookimpl
    def holdstill_expose(self, run: Run) -> None:
        """Hold and open every guest."""
        expose.expose(run)

    @hookimpl
    def holdstill_backup(self, run: Run) -> None:
        """Run the job's backup, looking after what it reads."""
        with tend.tending(run):
            backup.backup(run)

    @hookimpl
    def holdstill_release(self, run: Run) -> None:
        """Keep all promises."""
        release.let_go(run)

    @hookimpl
    def holdstill_verify(self, run: Run) -> None:
        """Check the backup."""
        verify.verify(run)

    @hookimpl
    def holdstill_undo(self, facts: Facts, host: Host) -> None:
        """Take away a folder or a file of the framework's own."""
        folders.undo(facts, host)

    @hookimpl
    def holdstill_strays(self, search: Search, host: Host) -> list[Stray]:
        """Find folders of the framework's own that no run has."""
        return folders.strays(search, host)


CORE = Found(name=registry.CORE, origin="the framework itself", plugin=Lifecycle())
