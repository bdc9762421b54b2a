"""A manifest of a tree (path, type, size, SHA-256), and an archive held against one.

A program of its own, so that hashing is bounded and ended like any command, and so that a person can check an
archive years later with nothing but this file and Python::

    python3 manifest.py write TREE MANIFEST
    python3 manifest.py check ARCHIVE MANIFEST

A manifest is a JSON object a line, in order of path. Progress goes to standard error, a number of bytes a line;
what was found goes to standard output, as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

CHUNK = 1 << 20
REPORT_EVERY = 64 << 20
TYPES = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "folder",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFBLK: "block",
    stat.S_IFCHR: "character",
}
"Sockets are left out: GNU tar leaves them out, and they mean nothing in a backup."
SHOWN = 5
"How many differences are told."


class _Meter:
    """Tells how many bytes are done."""

    def __init__(self) -> None:
        self.bytes = 0
        self._told = 0

    def add(self, amount: int) -> None:
        self.bytes += amount
        if self.bytes - self._told >= REPORT_EVERY:
            self._told = self.bytes
            print(self.bytes, file=sys.stderr, flush=True)


def _digest(file: IO[bytes], meter: _Meter) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
        meter.add(len(chunk))
    return digest.hexdigest()


def _digest_of(path: str, meter: _Meter) -> str:
    """Read a file. Raises OSError that names it: one of reading does not by itself."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return _digest(file, meter)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    """Give every path beneath ``folder`` with its status, in order, following no link, however deep it is."""
    ahead = sorted(os.listdir(folder), reverse=True)
    while ahead:
        path = ahead.pop()
        status = os.lstat(os.path.join(folder, path))
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            names = os.listdir(os.path.join(folder, path))
            ahead += [f"{path}/{name}" for name in sorted(names, reverse=True)]


def _entry(
    tree: str, path: str, status: os.stat_result, seen: dict[tuple[int, int], str], meter: _Meter
) -> dict[str, Any] | None:
    kind = TYPES.get(stat.S_IFMT(status.st_mode))
    if kind is None:
        return None
    entry: dict[str, Any] = {"path": path, "type": kind}
    if kind == "link":
        entry["target"] = os.readlink(os.path.join(tree, path))
    if kind == "file":
        inode = (status.st_dev, status.st_ino)
        if inode not in seen:
            seen[inode] = _digest_of(os.path.join(tree, path), meter)
        entry |= {"size": status.st_size, "sha256": seen[inode]}
        if status.st_nlink == 1:
            del seen[inode]
    return entry


def write(tree: str, manifest: str) -> dict[str, int]:
    """Write the manifest of ``tree``; give the number of entries, and of bytes read."""
    meter, entries = _Meter(), 0
    seen: dict[tuple[int, int], str] = {}
    with open(os.open(manifest, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        for path, status in walk(tree):
            if entry := _entry(tree, path, status, seen, meter):
                out.write(json.dumps(entry) + "\n")
                entries += 1
    return {"entries": entries, "bytes": meter.bytes}


@contextmanager
def _plain(archive: str) -> Iterator[IO[bytes]]:
    """Open an archive, decompressed."""
    programs = {".zst": "zstd", ".gz": "gzip"}
    program = programs.get(Path(archive).suffix)
    if program is None:
        with open(archive, "rb") as file:
            yield file
        return
    with subprocess.Popen([program, "-dc", archive], stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield process.stdout
        process.stdout.read()
        if process.wait():
            raise ValueError(f"{program} cannot read it (status {process.returncode})")


MEMBER_TYPES = {
    tarfile.DIRTYPE: "folder",
    tarfile.SYMTYPE: "link",
    tarfile.FIFOTYPE: "fifo",
    tarfile.BLKTYPE: "block",
    tarfile.CHRTYPE: "character",
}


def _members(stream: IO[bytes], meter: _Meter) -> Iterator[dict[str, Any]]:
    """Give the entries that an archive would have in a manifest."""
    seen: dict[str, dict[str, Any]] = {}  # a hard link has the content of what it names, which came before
    with tarfile.open(fileobj=stream, mode="r|", errors="surrogateescape") as tar:
        for member in tar:
            path = member.name.removeprefix("./")
            entry: dict[str, Any] = {"path": path, "type": MEMBER_TYPES.get(member.type, "file")}
            if member.issym():
                entry["target"] = member.linkname
            elif member.islnk():
                entry = {**seen[member.linkname.removeprefix("./")], "path": path}
            elif entry["type"] == "file":
                file = tar.extractfile(member)
                assert file
                entry |= {"size": member.size, "sha256": _digest(file, meter)}
            seen[path] = entry
            tar.members = []  # type: ignore[attr-defined] # tarfile would keep every member that it has seen
            if path != ".":
                yield entry


def compare(expected: Iterable[dict[str, Any]], found: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Say each difference between a manifest and an archive."""
    wanted = {entry["path"]: entry for entry in expected}
    for entry in found:
        told = wanted.pop(entry["path"], None)
        if told is None:
            yield f"{entry['path']!r} is in the archive and not in the manifest"
        elif told != entry:
            odd = [key for key in sorted(told.keys() | entry.keys()) if told.get(key) != entry.get(key)]
            yield f"{entry['path']!r} differs in {' and '.join(odd)}"
    for path in wanted:
        yield f"{path!r} is not in the archive"


def check(archive: str, manifest: str) -> list[str]:
    """Hold an archive against a manifest; give all differences."""
    meter = _Meter()
    try:
        with open(manifest) as lines, _plain(archive) as stream:
            return list(compare(map(json.loads, lines), _members(stream, meter)))
    except (OSError, ValueError, KeyError, tarfile.TarError, EOFError) as error:
        return [f"it cannot be read: {error}"]


def main(arguments: list[str]) -> int:
    """Do what the command line says; exit with 1 if an archive differs from its manifest."""
    match arguments:
        case ["write", tree, manifest]:
            try:
                print(json.dumps(write(tree, manifest)))
            except OSError as error:
                print(f"{error.filename or manifest}: {error.strerror}", file=sys.stderr)
                return 1
            return 0
        case ["check", archive, manifest]:
            differences = check(archive, manifest)
            for difference in differences[:SHOWN]:
                print(difference)
            if more := differences[SHOWN:]:
                print(f"and {len(more)} more differences")
            return 1 if differences else 0
    print("usage: manifest.py write TREE MANIFEST | check ARCHIVE MANIFEST", file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
