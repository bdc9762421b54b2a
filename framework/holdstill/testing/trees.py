"""What is on a guest's disk: a tree of files as a small server has it, and file systems made of such trees."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import tempfile
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from holdstill.errors import StorageError, UnavailableError, UsageError

LONG_AGO = 1_600_000_000
"From when all that ``populate`` makes is."
ODD_NAMES = (
    b"with blank",
    b"-rf",
    b"new\nline",
    b"\xff not UTF-8",
    "ümläut 日本".encode(),
    b"'quote\"",
    b"n" * 255,
)
SPARSE = 2**28
"How long the sparse file is: more than most disks made here, of which it needs next to nothing."


def populate(
    folder: Path, files: int = 2000, seed: int = 1, *, name: str = "guest1", table: str = ""
) -> None:
    """Fill ``folder``, which need not be there, with a small server's root tree of ``files`` files and a few more.

    The same arguments make the same tree. ``table`` is its /etc/fstab; by default one that fits
    ``make_guest_disk``. What only root may make (device nodes, owners) and what the file system cannot keep
    (extended attributes) is left out where it is refused. A folder that holds ODD_NAMES, links, a FIFO
    and a sparse file is ``odd``.
    """
    chance = random.Random(seed)  # noqa: S311  the same each time is wanted
    _write_etc(folder, name, table or fstab(name))
    for number in range(files):
        home = ("usr/lib", "usr/share/doc", "usr/bin", "var/log", "home/anna", "srv/www")[number % 6]
        _write(folder, f"{home}/{chance.randrange(40):02d}/file{number}", _text(chance))
    for place in ("boot", "dev", "proc", "sys", "tmp", "root", "mnt", "usr/sbin"):
        (folder / place).mkdir(parents=True, exist_ok=True)
    (folder / "tmp").chmod(0o1777)
    (folder / "root").chmod(0o700)
    _write_links(folder)
    _write_odd(folder / "odd", chance)
    _write_privileged(folder)
    _settle(folder)


def fstab(
    name: str = "guest1",
    *,
    volumes: Collection[str] = ("root", "data", "swap"),
    partitions: Collection[str] = ("boot",),
) -> str:
    """Write an /etc/fstab that names logical volumes by their device, and partitions by their UUID."""
    mapper = f"/dev/mapper/{volume_group(name).replace('-', '--')}-"
    kinds = {"root": "/\text4", "boot": "/boot\text3", "data": "/srv\text4", "swap": "none\tswap"}
    lines = ["# <source> <mount point> <type> <options> <dump> <pass>", "proc\t/proc\tproc\tdefaults\t0\t0"]
    lines += [f"{mapper}{what}\t{kinds[what]}\tdefaults\t0\t2" for what in kinds if what in volumes]
    lines += [
        f"UUID={filesystem_uuid(name, what)}\t{kinds[what]}\tdefaults\t0\t2"
        for what in kinds
        if what in partitions
    ]
    return "\n".join(lines) + "\n"


def volume_group(name: str) -> str:
    """Say how the volume group of the guest ``name`` is called."""
    return f"vg_{name}"


def filesystem_uuid(name: str, what: str) -> str:
    """Say which UUID ``root``, ``boot``, ``data`` or ``swap`` of the guest ``name`` has."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"holdstill/{name}/{what}"))


def blank(path: Path, size: int) -> None:
    """Make a new file that is one hole."""
    try:
        with path.open("xb") as file:
            file.truncate(size)
    except FileExistsError:
        raise UsageError(f"{path} is there already; a guest's disk is made in a new file.") from None


def put_filesystem(
    disk: Path, stretches: Sequence[tuple[int, int]], name: str, what: str, tree: Path | None
) -> None:
    """Put a file system with what is in ``tree`` into ``disk``, there spread over ``stretches``.

    Each stretch is its start and size in bytes. ``what`` is ``swap``, ``boot`` (ext3), or another name (ext4).
    """
    with tempfile.TemporaryDirectory(dir=disk.parent) as folder:
        image = Path(folder, what)
        image.touch(0o600)
        os.truncate(image, sum(size for _, size in stretches))
        _format(image, what, filesystem_uuid(name, what), tree)
        _pour(image, disk, stretches)


def run(*argv: str, said: str = "") -> None:
    """Run a command, with ``said`` as its input. Raises StorageError if it fails."""
    env = {**os.environ, "PATH": f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin", "LC_ALL": "C"}
    try:
        done = subprocess.run(argv, input=said, capture_output=True, text=True, env=env, check=False)
    except FileNotFoundError:
        raise UnavailableError(
            f"«{argv[0]}» is needed to make a guest's disk, and is not installed."
        ) from None
    if done.returncode:
        raise StorageError(f"«{' '.join(argv)}» failed with status {done.returncode}: {done.stderr.strip()}")


def _write(folder: Path, path: str, content: str, mode: int = 0o644) -> Path:
    file = folder / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    file.chmod(mode)
    return file


def _write_etc(folder: Path, name: str, table: str) -> None:
    _write(folder, "etc/fstab", table)
    _write(folder, "etc/hostname", f"{name}\n")
    _write(folder, "etc/hosts", f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n")
    _write(folder, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\nanna:x:1000:1000::/home/anna:/bin/sh\n")
    _write(folder, "etc/shadow", "root:*:19000:0:99999:7:::\n", 0o640)
    _write(folder, "etc/os-release", 'NAME="Guest Linux"\nID=guest\n')


def _text(chance: random.Random) -> str:
    """Most files of a server are small, a few are not."""
    size = int(chance.paretovariate(0.9) * 200) % 100_000
    return chance.randbytes(size // 2).hex()


def _write_links(folder: Path) -> None:
    for link, target in (
        ("bin", "usr/bin"),
        ("lib", "usr/lib"),
        ("odd/dangling", "nowhere"),
        ("odd/up", "../../etc"),
    ):
        (folder / link).parent.mkdir(exist_ok=True)
        (folder / link).symlink_to(target)
    (folder / "etc/localtime").symlink_to("/usr/share/zoneinfo/UTC")
    (folder / "etc/mtab").symlink_to("/proc/self/mounts")
    first = _write(folder, "usr/share/doc/license", "Do as you like.\n")
    for number in range(3):
        (folder / f"usr/share/doc/license.{number}").hardlink_to(first)


def _write_odd(odd: Path, chance: random.Random) -> None:
    for name in ODD_NAMES:
        Path(os.fsdecode(os.fsencode(odd) + b"/" + name)).write_text(_text(chance))
    (odd / "empty").touch()
    os.mkfifo(odd / "fifo")
    with (odd / "sparse").open("wb") as file:
        for start in (0, SPARSE // 2, SPARSE - 5):
            file.seek(start)
            file.write(b"here!")


def _write_privileged(folder: Path) -> None:
    _write(folder, "usr/bin/su", "#!/bin/sh\n", 0o4755)
    _write(folder, "usr/bin/wall", "#!/bin/sh\n", 0o2755)
    tagged = _write(folder, "odd/attributes", "It has extended attributes.\n")
    for name, value in (("user.origin", b"test"), ("trusted.seen", b"\0\1"), ("security.note", b"x")):
        with suppress(OSError):
            os.setxattr(tagged, name, value)
    if os.geteuid() == 0:  # else nobody could copy it
        (folder / "odd/no rights").touch(0)
    with suppress(PermissionError):
        os.mknod(folder / "dev/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        for owned in (folder / "home/anna", tagged):
            os.chown(owned, 1000, 1000)


def _settle(folder: Path) -> None:
    """Give all the same time: folders last, as making a file in one changes its own."""
    for place, folders, files in os.walk(folder, topdown=False):
        for entry in (*files, *folders):
            os.utime(f"{place}/{entry}", (LONG_AGO, LONG_AGO), follow_symlinks=False)
    os.utime(folder, (LONG_AGO, LONG_AGO))


def _format(image: Path, what: str, identity: str, tree: Path | None) -> None:
    if what == "swap":
        run("mkswap", "--uuid", identity, str(image))
        return
    content = ["-d", str(tree)] if tree else []
    tool = "mkfs.ext3" if what == "boot" else "mkfs.ext4"
    run(tool, "-q", "-F", "-U", identity, "-L", what, "-E", f"hash_seed={identity}", *content, str(image))


def _pour(image: Path, disk: Path, stretches: Sequence[tuple[int, int]]) -> None:
    """Copy ``image`` into ``stretches`` of ``disk``; its holes are not written."""
    done = 0
    with image.open("rb") as source, disk.open("r+b") as target:
        for beginning, size in stretches:
            for start, end in _written(source.fileno(), done, done + size):
                source.seek(start)
                target.seek(beginning + start - done)
                target.write(source.read(end - start))
            done += size


def _written(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Give the pieces of a file between ``start`` and ``end`` that are no holes."""
    while start < end:
        try:
            start = os.lseek(descriptor, start, os.SEEK_DATA)
        except OSError:
            return
        until = min(os.lseek(descriptor, start, os.SEEK_HOLE), end)
        if start < until:
            yield start, until
        start = until
