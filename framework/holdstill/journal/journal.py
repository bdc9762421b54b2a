"""The journal of one run, open for writing and locked."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from holdstill.errors import StorageError
from holdstill.journal.lock import acquire
from holdstill.journal.records import HandedOver, Header, KeptOpen, Promise, Record, Undone, decode, encode
from holdstill.journal.story import Story, tell
from holdstill.journal.unborn import being_made, unborn
from holdstill.words import Promised

FLAGS = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


class Journal:
    """One run's promises. While this object is open the run lives; its lock goes with the process."""

    def __init__(self, path: Path, descriptor: int, story: Story) -> None:
        self.path = path
        self._descriptor = descriptor
        self._open = {promise.number: promise for promise in story.open}
        self._last = max((promise.number for promise in story.promises), default=0)
        self._length = story.whole
        self._folder_synced = bool(story.promises)
        self._writing = threading.Lock()
        self.story = story

    @classmethod
    def create(cls, folder: Path, header: Header) -> Journal:
        """Begin the journal of a new run in ``folder``.

        It gets its name only when it is locked: nobody can find it and think its run dead.
        Raises StorageError if it cannot be written.
        """
        path = folder / f"{header.id}.jsonl"
        try:
            _make_folder(folder)
            with being_made(folder):
                return cls._made(path, unborn(folder, header.id), header)
        except OSError as error:
            raise StorageError(f"The journal {path} cannot be written: {error.strerror}.") from None

    @classmethod
    def _made(cls, path: Path, first: Path, header: Header) -> Journal:
        journal = cls(path, os.open(first, FLAGS | os.O_CREAT | os.O_EXCL, 0o600), Story(header=header))
        try:
            acquire(journal._descriptor)
            journal._append(header)
            first.rename(path)
        except BaseException:
            with suppress(OSError):
                first.unlink()
            journal.leave()
            raise
        return journal

    @classmethod
    def take(cls, path: Path) -> Journal | None:
        """Take over a journal that nobody has: ``None`` if its run lives, or it is gone.

        Raises StorageError if it cannot be opened, or read.
        """
        try:
            descriptor = os.open(path, FLAGS)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(f"The journal {path} cannot be opened: {error.strerror}.") from None
        try:
            if not acquire(descriptor) or not _is_at(descriptor, path):
                os.close(descriptor)
                return None
            content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"The journal {path} cannot be read: {error.strerror}.") from None
        journal = cls(path, descriptor, tell(content))
        if journal.story.damage:
            journal._go_on_behind(content)
        else:
            journal._cut_torn_tail()
        journal._end_lease()
        return journal

    def _end_lease(self) -> None:
        """What is left of a hold when its ``post`` dies, or fails, is abandoned at once, not when its lease ends."""
        if self.story.handed_over:
            with suppress(StorageError):
                self._append(msgspec.structs.replace(self.story.handed_over, lease_ends=0))

    @property
    def open_promises(self) -> tuple[Promise, ...]:
        """What is still to be undone, in the order in which it was promised."""
        return tuple(self._open.values())

    def promise(self, made: Promise) -> Promise:
        """Put a promise on the disk, and give it its number. Raises StorageError if that failed; then none is made.

        Raises TypeError for facts that could not be read back: they would be lost with the process.
        """
        with self._writing:
            record = msgspec.structs.replace(made, number=self._last + 1)
            if decode(encode(record)) is None:
                raise TypeError(
                    f"facts of a promise are texts, whole numbers and lists of texts, not {made.facts!r}"
                )
            self._append_durably(record)
            self._last = record.number
            self._open[record.number] = record
        return record

    def undone(self, promise: Promised) -> None:
        """Note that a promise is kept. A full disk must not stop letting go, so this may go unwritten."""
        with self._writing:
            if self._open.pop(promise.number, None) is None:
                return
            with suppress(StorageError):
                self._append(Undone(number=promise.number))

    def kept_open(self, by: list[str]) -> None:
        """Note who keeps things open, for whoever asks what a release waits for. It may go unwritten."""
        with self._writing, suppress(StorageError):
            self._append(KeptOpen(by=by))

    def hand_over(self, lease_ends: float, lease_ends_boottime: float = 0, **so_far: Any) -> None:
        """Leave what is held to ``post``, with the times so far.

        It is until ``lease_ends`` (seconds since the epoch; and of CLOCK_BOOTTIME).
        """
        with self._writing:
            self._append_durably(
                HandedOver(lease_ends=lease_ends, lease_ends_boottime=lease_ends_boottime, **so_far)
            )
        self.leave()

    def leave(self) -> None:
        """Let go of the journal itself: whoever comes next can take it."""
        os.close(self._descriptor)

    @property
    def kept_as(self) -> Path:
        """The name under which a journal that cannot be read whole is kept when its run has ended."""
        return self.path.with_suffix(".damaged")

    def close(self) -> None:
        """End a run that holds nothing any more. A journal that comes back after a power cut does no harm."""
        with suppress(OSError):
            if self.story.damage:
                self.path.rename(self.kept_as)  # it takes no room, and is whole or not at all
            else:
                self.path.unlink()
        self.leave()

    def _append_durably(self, record: Record) -> None:
        before = self._length
        self._append(record)
        try:
            self._sync()
        except StorageError:
            self._length = before
            self._cut_torn_tail()
            raise

    def _append(self, record: Record) -> None:
        line = encode(record)
        try:
            written = os.write(self._descriptor, line)
            if written != len(line):
                raise OSError(28, os.strerror(28))  # a short write is a full disk
        except OSError as error:
            self._cut_torn_tail()
            raise StorageError(f"The journal {self.path} cannot be written: {error.strerror}.") from None
        self._length += len(line)

    def _sync(self) -> None:
        try:
            os.fsync(self._descriptor)
            if not self._folder_synced:
                sync_folder(self.path.parent)
        except OSError as error:
            raise StorageError(f"The journal {self.path} cannot be written: {error.strerror}.") from None
        self._folder_synced = True

    def _go_on_behind(self, content: bytes) -> None:
        """Keep all of a damaged journal; what is written next must not become a part of half a line."""
        self._length = len(content)
        if not content.endswith(b"\n"):
            with suppress(OSError):
                self._length += os.write(self._descriptor, b"\n")

    def _cut_torn_tail(self) -> None:
        """A line after half a line could not be read: cut the half off. Shrinking needs no room."""
        with suppress(OSError):
            os.ftruncate(self._descriptor, self._length)


def _is_at(descriptor: int, path: Path) -> bool:
    """Tell whether the file we locked is still the one at ``path``: its run may have ended meanwhile."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _make_folder(folder: Path) -> None:
    """Make the folder for journals, so that it, and the one it is in, outlive a power cut as the journals do."""
    if folder.is_dir():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for above in list(folder.parents)[:2]:
        sync_folder(above)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
