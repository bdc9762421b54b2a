"""What can go wrong, as sentences, and the exit code that each kind of failure has."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """What ``holdstill`` exits with.

    The numbers to 78 mean what sysexits.h says they mean. Never 1 to 5, 75 or 255: some
    callers read those as "skip", "go on" or "try again". A run that a signal ended exits
    with 128 + the signal's number, as a shell would report it.
    """

    OK = 0
    "Done; for ``post`` also: there was nothing to release."
    USAGE = 64
    "The command line is wrong."
    DATA = 65
    "What is on a guest's disk cannot be used: its partition table, volumes or file system."
    NO_INPUT = 66
    "No such job, guest, device or file."
    UNAVAILABLE = 69
    "Busy, or something that is needed is not there: a lock is held, a tool is missing."
    BUG = 70
    "A defect in holdstill or in a plugin; the log has the traceback."
    OS = 71
    "A command, or the operating system, refused."
    SNAPSHOT = 73
    "A snapshot could not be made."
    IO = 74
    "Reading or writing failed: a full disk, a bad disk."
    PERMISSION = 77
    "Not root, or a file that others may write where only root's is trusted."
    CONFIG = 78
    "The configuration is wrong; every complaint names its file and line."
    BACKUP_FAILED = 79
    "The backup itself failed, or what it read was not held to its end. Nothing is held."
    VERIFY_FAILED = 80
    "The backup was made, but its verification failed. Nothing is held."
    STILL_HELD = 81
    "Something could not be let go of: ``holdstill held`` lists it, with the commands by hand."


class HoldstillError(Exception):
    """A failure that a person can read: what happened, to what, and what to do next."""

    code: ExitCode = ExitCode.OS


class UsageError(HoldstillError):
    """The command was called wrongly."""

    code = ExitCode.USAGE


class GuestUnusableError(HoldstillError):
    """What is on the guest's disk cannot be read as what it claims to be."""

    code = ExitCode.DATA


class NotFoundError(HoldstillError):
    """A job, guest, device or file that was named does not exist."""

    code = ExitCode.NO_INPUT


class UnavailableError(HoldstillError):
    """Somebody else has it, or a thing that is needed is not installed or not running."""

    code = ExitCode.UNAVAILABLE


class PluginBugError(HoldstillError):
    """A plugin raised what is not one of these errors, or answered nonsense."""

    code = ExitCode.BUG


class SnapshotError(HoldstillError):
    """A snapshot could not be made, or is not of one moment."""

    code = ExitCode.SNAPSHOT


class StorageError(HoldstillError):
    """Reading or writing failed."""

    code = ExitCode.IO


class PermissionRefusedError(HoldstillError):
    """Root's rights are needed, or a file is not root's own."""

    code = ExitCode.PERMISSION


class ConfigError(HoldstillError):
    """The configuration is wrong. ``complaints`` has all that is wrong with it, a sentence each."""

    code = ExitCode.CONFIG

    def __init__(self, complaints: Sequence[str]) -> None:
        self.complaints = tuple(complaints)
        super().__init__("\n".join(self.complaints))


class BackupError(HoldstillError):
    """The backup failed, or what it read was not held to its end."""

    code = ExitCode.BACKUP_FAILED


class VerifyError(HoldstillError):
    """The backup does not stand its verification."""

    code = ExitCode.VERIFY_FAILED


class StillHeldError(HoldstillError):
    """Something could not be let go of."""

    code = ExitCode.STILL_HELD


class NotPlannableError(HoldstillError):
    """Raised while planning, where the answer exists only once the steps before were really done."""


class RunInterrupted(BaseException):
    """Somebody asked the run to stop, by a signal such as SIGTERM. Not an ``Exception``: no step may swallow it."""

    def __init__(self, signal_number: int) -> None:
        self.signal_number = signal_number
        super().__init__(f"stopped by signal {signal_number}")
