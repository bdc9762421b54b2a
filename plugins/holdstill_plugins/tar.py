"""``tar``: a compressed archive of each guest by GNU tar, with a manifest to verify it against.

Both are written beside their names, synced, and renamed when whole: an archive that is there is complete. One of a
run that failed after that (its snapshot overflowed, its verification found a fault) is renamed to ``….failed``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from holdstill.plugin import (
    BackupError,
    CommandFailedError,
    Complaint,
    Duration,
    ExitCode,
    Exposed,
    Facts,
    Hold,
    Host,
    NodeKind,
    NotPlannableError,
    Outcome,
    Progress,
    Run,
    Step,
    VerifyError,
    hookimpl,
    missing_tools,
)

MANIFEST = (sys.executable, "-I", str(Path(__file__).with_name("manifest.py")))
RECORD = 10240
"GNU tar counts its checkpoints in records of this many bytes."
EVERY = 1000
"Records between two checkpoints."
COUNT = re.compile(r"(tar: )?\d+")
"A line that tells progress."


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Where the archives go, and how they are compressed."""

    to: str
    """An existing folder. Archives become ``TO/JOB/GUEST-RUN.tar.zst``, readable by root only; what was kept of a
    database's position when it was held is beside them."""
    compress: Literal["zstd", "gzip", "none"] = "zstd"
    "The program that compresses."
    deadline: Duration = Duration(24 * 3600)
    "How long the archive of one guest may take, and its verification."


class Paths(msgspec.Struct, frozen=True):
    """Where one guest's archive is, and is made."""

    archive: str
    manifest: str

    @property
    def partial(self) -> Paths:
        """The names while they are written."""
        return Paths(f"{self.archive}.partial", f"{self.manifest}.partial")


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need GNU tar, the compressor, and the folder: if its disk is not mounted, it is better to say so."""
    compressors = {step.options.compress for step in steps} - {"none"}
    found = missing_tools(host, "tar", *sorted(compressors))
    for to in dict.fromkeys(step.options.to for step in steps):
        folder = host.look(to)
        if folder is None or folder.kind is not NodeKind.FOLDER:
            why = f"The folder {to} for archives does not exist; make or mount it."
            found.append(Complaint(why, ExitCode.NO_INPUT))
    return found


@hookimpl
def holdstill_make_backup(
    step: Step[Options], guests: tuple[Exposed, ...], hold: Hold, host: Host, progress: Progress
) -> Facts:
    """Write an archive of each guest."""
    made = [_archive(step, guest, hold, host, progress) for guest in guests]
    archives = [paths.archive for paths in made]
    sizes = [node.size for archive in archives if (node := host.look(archive))]
    return {"archives": archives, "manifests": [paths.manifest for paths in made], "bytes": sum(sizes)}


def _stem(step: Step[Options], guest: str) -> str:
    return f"{step.options.to}/{step.run.job}/{guest}-{step.run.id}"


def _paths(step: Step[Options], guest: str) -> Paths:
    stem = _stem(step, guest)
    ending = {"zstd": ".zst", "gzip": ".gz", "none": ""}[step.options.compress]
    return Paths(f"{stem}.tar{ending}", f"{stem}.manifest")


def _archive(step: Step[Options], guest: Exposed, hold: Hold, host: Host, progress: Progress) -> Paths:
    if len(guest.trees) != 1:
        raise BackupError(f"Guest {guest.guest} is not open as one tree; end its 'open' with 'mount'.")
    paths, [tree], deadline = _paths(step, guest.guest), guest.trees, step.options.deadline
    partial = paths.partial
    hold.promise(
        f"unfinished archive of {guest.guest}",
        by_hand=["rm", "--force", partial.archive, partial.manifest],
        files=[partial.archive, partial.manifest],
    )
    host.run("mkdir", "--parents", "--mode=0700", str(Path(paths.archive).parent))
    progress.begin(f"manifest of {guest.guest}", _used(tree, host))
    with _complaints_alone():
        read = host.run(
            *(*MANIFEST, "write", tree, partial.manifest),
            planned='{"bytes": 0}',
            deadline=deadline,
            watch=_counter(progress, 1),
        )
    progress.begin(f"archive of {guest.guest}", int(json.loads(read.out)["bytes"]))
    host.run("install", "--mode=0600", "/dev/null", partial.archive)  # tar keeps the mode of what is there
    with _complaints_alone():
        host.run(*_tar(step, tree, partial.archive), deadline=deadline, watch=_counter(progress, RECORD))
    host.run("sync", partial.archive, partial.manifest, deadline=deadline)
    host.run("mv", "--no-target-directory", partial.manifest, paths.manifest)
    host.run("mv", "--no-target-directory", partial.archive, paths.archive)
    for kept in guest.kept:  # what a database wants to be given back with its files
        host.run("install", "--mode=0600", kept, f"{_stem(step, guest.guest)}.{kept.rpartition('@')[2]}")
    host.run("sync", str(Path(paths.archive).parent))
    return paths


def _tar(step: Step[Options], tree: str, archive: str) -> list[str]:
    compressors = {"zstd": ["--use-compress-program=zstd -T0 --quiet"], "gzip": ["--gzip"], "none": []}
    return [
        *(
            "tar",
            "--create",
            "--format=posix",
            "--numeric-owner",
            "--acls",
            "--xattrs",
            "--xattrs-include=*",
            "--sparse",
        ),
        *("--warning=no-file-ignored", f"--checkpoint={EVERY}", "--checkpoint-action=echo=%u"),
        *compressors[step.options.compress],
        *("--file", archive, "--directory", tree, "."),
    ]


@contextmanager
def _complaints_alone() -> Iterator[None]:
    """Tell of a program that fails what it complains of, without its progress: only the end of it all is told."""
    try:
        yield
    except CommandFailedError as error:
        said = [line for line in error.answer.err.splitlines() if not COUNT.fullmatch(line)]
        answer = msgspec.structs.replace(error.answer, err="\n".join(said))
        raise CommandFailedError(answer, error.why) from error


def _used(tree: str, host: Host) -> int:
    """About how many bytes there are to read: what the file system says is used, once it is there."""
    try:
        return int(host.ask("df", "--output=used", "--block-size=1", tree, ok=(0, 1)).out.split()[-1])
    except (IndexError, ValueError, NotPlannableError):
        return 0


def _counter(progress: Progress, unit: int) -> Callable[[str], None]:
    """Read the last number that a program printed as its progress, in units of so many bytes."""

    def watch(text: str) -> None:
        if numbers := re.findall(r"\d+", text):
            progress.at(int(numbers[-1]) * unit)

    return watch


@hookimpl
def holdstill_verify_backup(step: Step[Options], backup: Facts, host: Host, progress: Progress) -> None:
    """Read every archive back, and compare every file in it with the manifest."""
    for archive, manifest in zip(_list(backup, "archives"), _list(backup, "manifests"), strict=True):
        progress.begin(f"verifying {Path(archive).name}", 0)
        checked = host.run(
            *(*MANIFEST, "check", archive, manifest),
            ok=(0, 1),
            deadline=step.options.deadline,
            watch=_counter(progress, 1),
        )
        if checked.status:
            raise VerifyError(f"The archive {archive} is not what was read: {checked.out.strip()}")


def _list(backup: Facts, key: str) -> list[str]:
    value = backup.get(key)
    if not isinstance(value, list):
        raise VerifyError("This job's backup made no archive; 'tar' verifies what 'tar' made.")
    return value


@hookimpl
def holdstill_finished(run: Run, outcome: Outcome) -> None:
    """Take the good name from archives of a run that went wrong after they were written."""
    backup = run.job.backup
    if outcome.failures and backup and isinstance(backup.options, Options):
        for archive in [str(path) for path in _made(outcome.backup)]:
            run.host.run("mv", "--no-target-directory", archive, f"{archive}.failed")


def _made(backup: Mapping[str, object]) -> list[object]:
    archives = backup.get("archives", [])
    return archives if isinstance(archives, list) else []


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Remove what was not finished."""
    files = facts["files"]
    assert isinstance(files, list)
    host.run("rm", "--force", *files)
