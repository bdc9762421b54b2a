"""The kinds of machine there are: what each has beside Debian, and how it starts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """One kind of machine. The scenarios in the folder of its name run in it."""

    name: str
    packages: tuple[str, ...] = ()
    # What of these packages does not run before a scenario starts it.
    idle: tuple[str, ...] = ()
    memory: int = 2048
    console: str = "ttyS0"
    # What is taken from the processor: QEMU's words.
    cpu: str = ""
    # The words for Xen, which then starts first.
    xen: str = ""
    # As nice(1) has it: less is more of the processor.
    nice: int = 0


PLAIN = Kind("plain")
XEN = Kind(
    "xen",
    packages=("busybox-static", "xen-system-amd64"),
    memory=5120,
    console="hvc0",
    # With them, QEMU 7.2 emulates a processor on which Debian's kernel dies under Xen at its first instruction.
    cpu=",-smap,-smep",
    # Without the last word, systemd once crashed as if a register had changed under it. It seems that QEMU 7.2 does not
    # always stop where Xen saves them lazily; with it, an hour of work went well.
    xen="console=com1 com1=115200,8n1 dom0_mem=1536M,max:1536M spec-ctrl=eager-fpu",
    # Xen's tools give up when a guest takes a few seconds too long, which beside other machines it does.
    nice=-10,
)
SERVER = Kind(
    "server",
    packages=(
        "bacula-console",
        "bacula-director",
        "bacula-director-sqlite3",
        "bacula-fd",
        "bacula-sd",
        "postgresql",
    ),
    idle=("bacula-director", "bacula-fd", "bacula-sd", "exim4", "postgresql"),
)
KINDS = {kind.name: kind for kind in (XEN, SERVER, PLAIN)}
"All of them, in the order in which their scenarios are run."
