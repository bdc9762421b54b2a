"""``ssh-fsfreeze``: a file system in the guest, frozen there by fsfreeze(8), over ssh.

All that was written is on the disk, and nobody writes while the snapshot is made: who tries to, waits. The shell in the
guest lets go when the snapshot is made, and when its connection closes: because holdstill has died, ssh was killed, or
``at-most`` is over. It starts a timer before it freezes, which lets go if the network fails, or the shell is killed.
The guest needs a shell, fsfreeze and setsid (util-linux, or busybox) and root's rights for the user.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from holdstill.plugin import (
    Companion,
    Complaint,
    Hold,
    HoldstillError,
    Host,
    QuiesceOptions,
    SnapshotError,
    Step,
    hookimpl,
    missing_tools,
    printable,
)

SETTINGS = {
    "BatchMode": "yes",
    "ConnectTimeout": "15",
    "ControlPath": "none",  # a connection of our own: it must close when we end
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
}
THAW_WITHIN = 45.0
"Seconds that the guest has to let go; leaving a step has a minute in all."
LOOK = """command -v fsfreeze >/dev/null && command -v setsid >/dev/null && test -d "$1" && exit
echo "no fsfreeze, no setsid, or no folder $1" >&2
exit 1"""
HOLD = """trap "" HUP PIPE
stop() { kill $!; kill -- -$!; } 2>/dev/null
setsid sh -c 'sleep "$2"; exec fsfreeze --unfreeze "$1"' sh "$1" "$2" </dev/null >/dev/null 2>&1 &
fsfreeze --freeze "$1" || { stop; exit 1; }
echo frozen
read -r _
fsfreeze --unfreeze "$1" || exit
stop
echo thawed
exec cat >/dev/null"""
"""The timer is a session, so that its sleep ends with it; it is killed by itself, too, as it may not be one yet. A trap
would not do: a shell forgets what it was sent while it starts a program."""


class Options(QuiesceOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which guest, and what in it."""

    host: str
    "The guest, as ssh knows it."
    path: str
    "Where the file system is mounted in the guest. For several, write the step several times."
    user: str = "root"
    "Who may freeze it there."
    port: int = 0
    "Where its sshd listens; if 0, as ssh's configuration says."
    key: str = ""
    "The file with the private key, which has no passphrase; if empty, as ssh's configuration says."
    config: str = ""
    "Another configuration of ssh's; the host key must be known to it."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need ssh, and guests that let us in and have what it takes."""
    return missing_tools(host, "ssh") or [
        complaint for step in steps for complaint in _complaints(step, host)
    ]


def _complaints(step: Step[Options], host: Host) -> list[Complaint]:
    try:
        host.ask(*_ssh(step.options, LOOK))
    except HoldstillError as error:
        return [Complaint(f"Guest {step.guest} cannot be asked by ssh: {error}")]
    return []


def _ssh(options: Options, script: str, *more: str) -> tuple[str, ...]:
    """Give the words that run a script in the guest, whatever shell its user has."""
    settings = [f"-o{name}={value}" for name, value in SETTINGS.items()]
    given = {"-F": options.config, "-i": options.key, "-p": str(options.port or "")}
    chosen = [word for flag, value in given.items() if value for word in (flag, value)]
    inside = shlex.join(["sh", "-c", script, "sh", options.path, *more])
    return ("ssh", "-T", *settings, *chosen, "-l", options.user, "--", options.host, inside)


@hookimpl
@contextmanager
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> Iterator[None]:
    """Have a shell in the guest keep it frozen while the snapshot is made."""
    del hold
    options = step.options
    longest = str(int(options.within + options.at_most) + 1)
    with host.companion(
        *_ssh(options, HOLD, longest), limit=options.within, at_most=options.at_most
    ) as shell:
        _need(shell.first, "frozen", step)
        yield
        _thaw(shell, step)


def _thaw(shell: Companion, step: Step[Options]) -> None:
    shell.tell("thaw")
    _need(shell.hear(THAW_WITHIN), "thawed", step)


def _need(said: str, word: str, step: Step[Options]) -> None:
    """Raise SnapshotError for anything else, such as what its user's profile prints."""
    if said.rstrip("\r") != word:
        raise SnapshotError(
            f"The shell of {step.options.user} on {step.options.host} said {printable(said)!r} in place of {word!r}: "
            "it must print nothing by itself."
        )
