"""Reboots that were asked for: what is remembered of the last one, and what systemd-logind has scheduled."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from holdstill.plugin import Host, PermissionRefusedError, StorageError

NOTE = "asked-for.json"
SCHEDULED = "/run/systemd/shutdown/scheduled"
"Where systemd-logind tells what is scheduled; there only while something is."
BOOT = "/proc/sys/kernel/random/boot_id"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A reboot that was asked for. Times are seconds since the epoch."""

    run: str
    "Which run could not let go; the message to those logged in bears its id, and so it is known whose reboot it is."
    job: str
    at: float
    due: float
    boot: str
    "The boot in which it was asked for."
    cancel: list[str]
    "The command that calls it off."
    never_during: list[str]
    logind: bool
    "Whether systemd-logind keeps it: then it is called off when logind does not tell of it any more."
    over: bool = False
    "Whether it was called off, or it was told what it helped. Its time still counts."

    @property
    def when(self) -> str:
        """When it is to happen, for people."""
        return clock(self.due)


class Scheduled(msgspec.Struct, frozen=True):
    """What systemd-logind has scheduled, whoever asked for it."""

    mode: str
    due: float
    message: str

    @property
    def title(self) -> str:
        """What a person calls it."""
        return f"a {self.mode or 'shutdown'} at {clock(self.due)}"


class Ledger:
    """The last reboot that was asked for, in the plugin's own folder."""

    def __init__(self, folder: Path, host: Host) -> None:
        self._path = folder / NOTE
        self._host = host

    @property
    def last(self) -> Asked | None:
        """The last one, whatever became of it. Raises StorageError if that cannot be read."""
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=Asked)
        except FileNotFoundError:
            return None
        except PermissionError:
            raise PermissionRefusedError(
                f"{self._path} can be read by root only; try «sudo holdstill reboot»."
            ) from None
        except (OSError, msgspec.MsgspecError) as error:
            raise StorageError(
                f"{self._path} cannot be read ({error}), so nothing is known of the last reboot; remove the file."
            ) from None

    @property
    def pending(self) -> Asked | None:
        """The one that is still to come; ``None`` if it was called off, by whomever, or has happened."""
        last = self.last
        if last is None or last.over or last.boot != boot(self._host):
            return None
        there = scheduled(self._host)
        if last.logind:
            return last if there and last.run in there.message else None
        return last if last.due > time.time() else None

    def write(self, asked: Asked) -> None:
        """Remember a reboot: when this returns, it is on the disk. Raises StorageError."""
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(asked))
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(self._path)
            _sync(self._path.parent)
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error.strerror}.") from None

    def close(self, asked: Asked) -> None:
        """Note that nothing is to be said or done of it any more."""
        self.write(msgspec.structs.replace(asked, over=True))

    def call_off(self, asked: Asked) -> None:
        """Call a pending reboot off."""
        self._host.run(*asked.cancel, deadline=30)
        self.close(asked)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Have it alone: of two runs that end at once, one asks for a reboot. Raises StorageError."""
        lock = self._path.with_suffix(".lock")
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(f"The lock {lock} cannot be made: {error.strerror}.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def scheduled(host: Host) -> Scheduled | None:
    """Give what systemd-logind has scheduled; ``None`` if there is nothing, or no logind."""
    try:
        told = dict(line.split("=", 1) for line in host.read(SCHEDULED).splitlines() if "=" in line)
    except OSError:
        return None
    due = int(told.get("USEC", "0")) / 1e6
    return Scheduled(told.get("MODE", ""), due, told.get("WALL_MESSAGE", ""))


def boot(host: Host) -> str:
    """Give the kernel's id of this boot (random(4))."""
    return host.read(BOOT).strip()


def clock(seconds: float) -> str:
    """Write a time for people."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
