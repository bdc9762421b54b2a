"""What a plugin's author imports.

A plugin is a module (or a single file in ``/etc/holdstill/plugins``) with functions named after the hooks
and marked with :data:`hookimpl`. A distribution names it in the entry-point group ``holdstill``.
"""

from pluggy import HookimplMarker

from holdstill.errors import (
    BackupError,
    ExitCode,
    GuestUnusableError,
    HoldstillError,
    NotFoundError,
    NotPlannableError,
    PermissionRefusedError,
    SnapshotError,
    StillHeldError,
    StorageError,
    UnavailableError,
    VerifyError,
)
from holdstill.facts import Facts
from holdstill.host import Answer, Host, Node, NodeKind
from holdstill.host.failures import CommandFailedError
from holdstill.host.tools import missing_tools
from holdstill.run.outcome import Outcome
from holdstill.run.run import Run
from holdstill.text import printable
from holdstill.units import Duration, Size, human_bytes
from holdstill.words import (
    Complaint,
    Device,
    Exposed,
    Hold,
    Kind,
    MakeSnapshots,
    NoOptions,
    Progress,
    Promised,
    Role,
    RunInfo,
    Source,
    Sources,
    Step,
    Tree,
)

hookimpl = HookimplMarker("holdstill")

__all__ = [
    "Answer",
    "BackupError",
    "CommandFailedError",
    "Complaint",
    "Device",
    "Duration",
    "ExitCode",
    "Exposed",
    "Facts",
    "GuestUnusableError",
    "Hold",
    "HoldstillError",
    "Host",
    "Kind",
    "MakeSnapshots",
    "NoOptions",
    "Node",
    "NodeKind",
    "NotFoundError",
    "NotPlannableError",
    "Outcome",
    "PermissionRefusedError",
    "Progress",
    "Promised",
    "Role",
    "Run",
    "RunInfo",
    "Size",
    "SnapshotError",
    "Source",
    "Sources",
    "Step",
    "StillHeldError",
    "StorageError",
    "Tree",
    "UnavailableError",
    "VerifyError",
    "hookimpl",
    "human_bytes",
    "missing_tools",
    "printable",
]
