"""``libvirt``: the file systems in a guest, frozen by the QEMU guest agent, with ``virsh domfsfreeze``.

The guest's agent has all that was written put on the disk, runs the guest's own freeze hooks, which quiesce databases,
and holds what is written until the snapshot is made. If holdstill dies, or takes longer than ``at-most``, a process
beside it has the agent thaw; and it is promised: if that process was killed as well, the next run or «holdstill
recover» does so. The agent does not by itself.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

import msgspec

from holdstill.plugin import (
    Complaint,
    Facts,
    Hold,
    HoldstillError,
    Host,
    QuiesceOptions,
    Step,
    Thaw,
    frozen,
    hookimpl,
    missing_tools,
)

GONE = "domain is not running|failed to get domain"
"What virsh says of a domain that cannot be frozen."
NOT_FROZEN = "domain is not quiesced"
"What it says, in old releases, if there is nothing to thaw."
ALREADY = r"guest-fsfreeze-freeze(-list)? has been disabled|domain is already quiesced"
"What the agent says if somebody else has frozen the guest, or if it may not freeze; then libvirt, in old releases."
UNREACHABLE = "failed to connect to the hypervisor|QEMU guest agent is not (connected|configured|available)"
REFUSALS = f"{GONE}|{ALREADY}|{UNREACHABLE}"
"What it says if nothing was frozen."


class Options(QuiesceOptions, frozen=True, kw_only=True, rename="kebab"):
    """Which domain."""

    domain: str
    "Its name, id or UUID."
    connection: str = "qemu:///system"
    "The URI of the hypervisor."
    mount_points: list[str] = msgspec.field(default_factory=list)
    "What is frozen, as the guest calls it; all of its file systems if none is named."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need virsh, and domains that it knows."""
    return missing_tools(host, "virsh") or [
        complaint for step in steps for complaint in _complaints(step, host)
    ]


def _complaints(step: Step[Options], host: Host) -> list[Complaint]:
    try:
        host.ask(*_virsh(step.options, "domstate"))
    except HoldstillError as error:
        return [Complaint(f"libvirt's domain of guest {step.guest} cannot be asked: {error}")]
    return []


def _virsh(options: Options, command: str, *more: str) -> tuple[str, ...]:
    return ("virsh", f"--connect={options.connection}", command, f"--domain={options.domain}", *more)


@hookimpl
def holdstill_quiesce(step: Step[Options], hold: Hold, host: Host) -> AbstractContextManager[None]:
    """Keep the guest's file systems frozen while the snapshot is made."""
    options = step.options
    thaw = Thaw(
        what=f"file systems of guest {step.guest} frozen by its agent",
        argv=_virsh(options, "domfsthaw"),
        nothing=f"{GONE}|{NOT_FROZEN}",
        refusal=REFUSALS,
    )
    points = [f"--mountpoint={point}" for point in options.mount_points]
    return frozen(_virsh(options, "domfsfreeze", *points), thaw, options, hold, host)


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Let go of what a dead run froze."""
    Thaw.of(facts).run(host)
