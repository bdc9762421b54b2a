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
from holdstill.host import Answer, Companion, Holder, Host, Node, NodeKind
from holdstill.host.failures import CommandFailedError, CommandStuckError
from holdstill.host.tools import missing_tools
from holdstill.plugins.api import API_VERSION
from holdstill.run.outcome import CallerVerdict, Outcome
from holdstill.run.run import Run
from holdstill.text import printable
from holdstill.thaw import Thaw, frozen
from holdstill.units import Duration, Size, human_bytes
from holdstill.words import (
    Complaint,
    Device,
    Exposed,
    Hold,
    Kind,
    Layer,
    MakeSnapshots,
    NoOptions,
    Progress,
    Promised,
    QuiesceOptions,
    Quieted,
    Role,
    RunInfo,
    Search,
    Source,
    Sources,
    Step,
    Stray,
    Tree,
)

hookimpl = HookimplMarker("holdstill")

__all__ = [
    "API_VERSION",
    "Answer",
    "BackupError",
    "CallerVerdict",
    "CommandFailedError",
    "CommandStuckError",
    "Companion",
    "Complaint",
    "Device",
    "Duration",
    "ExitCode",
    "Exposed",
    "Facts",
    "GuestUnusableError",
    "Hold",
    "Holder",
    "HoldstillError",
    "Host",
    "Kind",
    "Layer",
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
    "QuiesceOptions",
    "Quieted",
    "Role",
    "Run",
    "RunInfo",
    "Search",
    "Size",
    "SnapshotError",
    "Source",
    "Sources",
    "Step",
    "StillHeldError",
    "StorageError",
    "Stray",
    "Thaw",
    "Tree",
    "UnavailableError",
    "VerifyError",
    "frozen",
    "hookimpl",
    "human_bytes",
    "missing_tools",
    "printable",
]
