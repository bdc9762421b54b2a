"""The hooks, as plugins implement them.

*Phase hooks* reach every plugin, once a run. *Step hooks* reach the one plugin that the configuration
names (and, for ``holdstill_places``, ``holdstill_still`` and ``holdstill_undo``, the one that made the
promise), as well as every plugin that wraps them with ``@hookimpl(wrapper=True)``.

A plugin that takes part in phases and has options is named under ``around``; ``run.around(NAME)`` gives its
step, with the options, or ``None`` for a job that does not name it.

Errors: raise one of :mod:`holdstill.plugin`'s, with a sentence that says what happened, to what, and what
to do next. Anything else that is raised counts as a defect of the plugin: the run fails, the traceback
goes to the log, and what was promised is let go of.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import msgspec
import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import click

    from holdstill.facts import Facts
    from holdstill.host import Host
    from holdstill.run.outcome import Outcome
    from holdstill.run.run import Run
    from holdstill.words import (
        Complaint,
        Device,
        Exposed,
        Hold,
        MakeSnapshots,
        Progress,
        Search,
        Sources,
        Step,
        Stray,
    )

hookspec = pluggy.HookspecMarker("holdstill")

# Phase hooks


@hookspec
def holdstill_prepare(run: Run) -> None:
    """Look whether the run can be done, before anything is held; raise to refuse it.

    The framework's own part asks every step (``holdstill_check``) and comes after all plugins' parts.
    Nothing may be changed here.
    """


@hookspec
def holdstill_expose(run: Run) -> None:
    """Come before the guests are held, or, as a wrapper, after they are: then ``run.exposed`` is set.

    A failure fails the job; what is held by then is released.
    """


@hookspec
def holdstill_backup(run: Run) -> None:
    """Come before the backup, or wrap it. Not called by ``pre`` and ``post``: the backup is the caller's."""


@hookspec
def holdstill_release(run: Run) -> None:
    """Come before what is held is let go of, or wrap it.

    Called by ``run``, ``post`` and ``recover``, the latter perhaps days and a reboot after the rest. A plugin
    that raises here does not stop the release; the failure is told at the end.
    """


@hookspec
def holdstill_verify(run: Run) -> None:
    """Check the result, nothing being held any more. A failure fails the job."""


@hookspec
def holdstill_finished(run: Run, outcome: Outcome) -> None:
    """Hear how the run ended, whatever the end was. Nothing that failed here changes it; failures are logged.

    What is done about the end can be added to ``outcome.notes``. Plugins hear it in their order of loading; one that
    adds a note is marked with ``tryfirst=True``, so that those who tell others know of it.
    """


# Step hooks


@hookspec(firstresult=True)
def holdstill_options() -> type[msgspec.Struct]:
    """Return the type of the options that steps of this plugin take.

    A frozen :class:`msgspec.Struct`; fields may also be of :class:`~holdstill.plugin.Size` and
    :class:`~holdstill.plugin.Duration`. The string below a field is its documentation. A plugin without this
    hook has no options.
    """


@hookspec(firstresult=True)
def holdstill_check(steps: tuple[Step[Any], ...], host: Host) -> list[Complaint]:
    """Look whether steps can be done, and return all that is in their way.

    ``steps`` are all of the job's that name this plugin, so that what they need together (room for the
    snapshots of all guests) can be looked at, and be asked for once. Use ``host.ask`` and ``host.look``
    only: nothing may be changed.
    """


@hookspec(firstresult=True)
def holdstill_quiesce(step: Step[Any], hold: Hold, host: Host) -> AbstractContextManager[None]:
    """Return a context manager: inside it, the guest's application is quiet.

    It is entered just before the guest's snapshots are made, and left at once after. It must let go by
    itself if this process dies: by a session that closes, or a :meth:`~holdstill.host.Host.companion` whose
    pipe closes. Where only a command can let go, :func:`~holdstill.plugin.frozen` promises it and watches over it.
    Leaving it is never interrupted by a signal. Raise on leaving if the application did not stay quiet. Let the
    options derive from :class:`~holdstill.plugin.QuiesceOptions`, and keep to their times; they may come shortened
    to what the job's ``quiet-budget`` leaves. A plan does not call this hook.
    """


@hookspec(firstresult=True)
def holdstill_freeze(
    disks: tuple[Device, ...], hold: Hold, host: Host
) -> AbstractContextManager[AbstractContextManager[None]]:
    """Get ready to freeze, and give a context manager: inside it, nothing is written to ``disks``.

    Called for the origins of this snapshot plugin if several disks (of one guest, or of guests that are
    held together) must be of one moment; a plugin without this hook is given one disk a group only. The
    outer context is entered before the guests are quiet, and left after they go on again: what takes time,
    such as starting a watchdog, belongs there. The inner one is held for as long as the snapshots take, and
    measured. Promise the thaw, and see to it that it happens whatever becomes of this process: a guest's
    live disk hangs meanwhile. A plan does not call this hook.
    """


@hookspec(firstresult=True)
def holdstill_snapshot(steps: tuple[Step[Any], ...], host: Host) -> tuple[MakeSnapshots, ...]:
    """Look at all that is needed, and return for each step a function that makes its snapshots.

    ``steps`` are all of the job's that name this plugin. The functions are called one after the other, each when its
    guest is quiet: so they look at nothing that could be looked at before, promise, act, and return the
    snapshots of ``step.disks`` in the same order. Promise before each change. The snapshots must be writable
    (a journalling file system replays its journal into them), and the origin must not change by it.
    """


@hookspec(firstresult=True)
def holdstill_open(step: Step[Any], sources: Sources, hold: Hold, host: Host) -> Sources:
    """Make what is inside ``sources`` readable, and return what there is now.

    Replace the sources that this plugin understands; pass the others on. Before **each** change to the
    system, promise how it is undone::

        hold.promise(f"loop device of {device.name}", by_hand=["losetup", "--detach", loop], loop=loop)
        host.run("losetup", …)
    """


@hookspec(firstresult=True)
def holdstill_make_backup(
    step: Step[Any], guests: tuple[Exposed, ...], hold: Hold, host: Host, progress: Progress
) -> Facts:
    """Back up what is exposed of the guests, and return what ``holdstill_verify_backup`` needs to know of it.

    A whole number ``bytes`` among it is taken for the size of what was written. Raise
    :class:`~holdstill.plugin.BackupError` if the backup is not good in every part.
    """


@hookspec(firstresult=True)
def holdstill_verify_backup(step: Step[Any], backup: Facts, host: Host, progress: Progress) -> None:
    """Check a backup; raise :class:`~holdstill.plugin.VerifyError` if it is not what it should be.

    ``backup`` is what the job's ``holdstill_make_backup`` returned. Nothing is held any more. A job that says
    nothing of verification asks its backup's plugin, with the backup's own step (``step.role`` is then
    ``Role.BACKUP``); otherwise the steps that its ``verify`` names.
    """


@hookspec(firstresult=True)
def holdstill_tend(facts: Facts, host: Host) -> float:
    """Look after what a promise was made for, while it is held; return after how many seconds to look again.

    Called again and again from the time on when all is exposed until it is released, for every promise of
    a plugin that has this hook: a snapshot that fills up is given more room. A failure is logged, and
    the next look comes after a pause; what matters in the end is ``holdstill_still``.
    """


@hookspec(firstresult=True)
def holdstill_still(facts: Facts, host: Host) -> Mapping[str, float] | None:
    """Raise :class:`~holdstill.plugin.BackupError` if what a promise was made for did not hold to the end.

    Asked for every promise when the backup is over and before anything is let go of: a snapshot that
    overflowed, a mount that is no longer the one that was made. What was measured on that occasion can be
    returned by name, a name ending with its unit: ``{"snapshot_fill_ratio": 0.4}``. It goes into
    ``outcome.measures``, and from there to whoever hears of the end.
    """


@hookspec(firstresult=True)
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Put one promise right.

    The change may never have happened, or be undone already, and you may be in another process, days
    and a reboot later, with nothing but ``facts``: so look first. Nothing to do is success. Touch only
    what is provably this run's. Raise if it cannot be done now: it is tried again, up to a limit, and
    then reported as still held; at once, if it is :class:`~holdstill.plugin.StillHeldError`, which says that
    trying again soon is no use.
    """


@hookspec(firstresult=True)
def holdstill_places(facts: Facts, host: Host) -> Sequence[str]:
    """Return what must be free before a promise can be kept: mount points, and block devices.

    Who has them open is told by name, and waited for. Look, if the name of a device was known only after
    the promise; change nothing.
    """


@hookspec(firstresult=True)
def holdstill_strays(search: Search, host: Host) -> Sequence[Stray]:
    """Return what is provably a run's, by its tag, UUID or name, though no journal of this host knows the run.

    Asked of every plugin that has it, when a journal could not be read, or a person wants to know. Look, and
    change nothing: a person decides, because a run of another host that shares this storage looks just so.
    Give nothing if the tools for looking are not installed.
    """


@hookspec(firstresult=True)
def holdstill_plan(step: Step[Any], host: Host) -> Sequence[str]:
    """Say what a plugin around a job would do in its phases, and when; a line each, for a person.

    Use ``host.ask`` and ``host.look`` only: nothing may be changed.
    """


# The command line


@hookspec(firstresult=True)
def holdstill_command(host: Host, folder: Path) -> click.Command:
    """Return a subcommand of the plugin's own: ``holdstill NAME``, with the plugin's name.

    It reaches the one plugin that the command line names. ``folder`` is the plugin's own between runs, as
    :meth:`~holdstill.run.run.Run.folder_of` gives it. What the command returns is its exit code; errors are
    raised, as anywhere else.
    """


STEP_HOOKS = frozenset(
    {"holdstill_options", "holdstill_check", "holdstill_quiesce", "holdstill_freeze", "holdstill_snapshot"}
    | {"holdstill_open", "holdstill_make_backup", "holdstill_verify_backup"}
    | {"holdstill_tend", "holdstill_still", "holdstill_undo", "holdstill_places", "holdstill_strays"}
    | {"holdstill_plan", "holdstill_command"}
)
PHASE_HOOKS = frozenset(
    {"holdstill_prepare", "holdstill_expose", "holdstill_backup", "holdstill_release", "holdstill_verify"}
    | {"holdstill_finished"}
)
