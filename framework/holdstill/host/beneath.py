"""Reach into a guest's tree without following anything that the guest put there.

mount(8) and open(2) follow symbolic links on the *host*: a guest whose /boot is a link to /etc would
have its file system mounted over the host's /etc. openat2(2) can refuse every link on the way.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdstill.errors import GuestUnusableError
from holdstill.text import printable

OPENAT2 = 437  # the same number on every architecture
LONGEST = 256 * 1024
"How long a guest's file may be that we read ourselves, in bytes."
RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, RESOLVE_BENEATH = 0x02, 0x04, 0x08


class NotInTreeError(GuestUnusableError):
    """Nothing is there."""


class _OpenHow(ctypes.Structure):
    """``struct open_how`` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


@contextmanager
def open_beneath(root: str, path: str) -> Iterator[int]:
    """Open ``path`` inside ``root`` as a place (O_PATH): no link followed, never out of ``root``.

    Raises GuestUnusableError if a link is on the way or nothing is there.
    """
    if "\0" in path:
        raise GuestUnusableError(f"{printable(path)} is no path.")
    try:
        folder = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise GuestUnusableError(f"{root} cannot be opened: {error.strerror}.") from None
    with _opened(folder) as top:
        how = _OpenHow(
            os.O_PATH | os.O_CLOEXEC, 0, RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH
        )
        descriptor = _openat2(top, path.strip("/") or ".", how)
        if descriptor < 0:
            raise _refusal(root, path, ctypes.get_errno())
    with _opened(descriptor):
        yield descriptor


def read_beneath(root: str, path: str) -> str | None:
    """Read a small text file inside ``root``, following no link; ``None`` if there is none."""
    try:
        with open_beneath(root, path) as place:
            return _read(place, f"/{path.strip('/')} in {root}")
    except NotInTreeError:
        return None


def _read(place: int, name: str) -> str:
    """Read a plain file. Its kind is looked at before it is opened: opening a FIFO would wait for ever."""
    if not stat.S_ISREG(os.fstat(place).st_mode):
        raise GuestUnusableError(f"{printable(name)} is no plain file.")
    with Path(f"/proc/self/fd/{place}").open("rb") as file:
        content = file.read(LONGEST + 1)
    if len(content) > LONGEST:
        raise GuestUnusableError(f"{printable(name)} is longer than {LONGEST} bytes.")
    return content.decode(errors="replace")


def _openat2(top: int, path: str, how: _OpenHow) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    return int(libc.syscall(OPENAT2, top, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how)))


@contextmanager
def _opened(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _refusal(root: str, path: str, number: int) -> GuestUnusableError:
    name = f"/{printable(path.strip('/'))} in {root}"
    if number in {errno.ENOENT, errno.ENOTDIR}:
        return NotInTreeError(f"{name} does not exist.")
    if number in {errno.ELOOP, errno.EXDEV}:
        return GuestUnusableError(
            f"{name} is not used: a symbolic link is on the way, and a guest's links are not followed on the host."
        )
    return GuestUnusableError(f"{name} cannot be used: {os.strerror(number).lower()}.")
