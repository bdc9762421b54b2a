"""The disk with the journals is full, read-only or broken from any write on: the run lets go, or recover does."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from holdstill.errors import ExitCode, HoldstillError, StorageError
from holdstill.testing import Trial

pytestmark = pytest.mark.usefixtures("no_log")

CHANGES = ("ftruncate", "mkdir", "pwrite", "rename", "replace", "unlink", "write")
REFUSED = {
    errno.ENOSPC: {"mkdir", "open", "pwrite", "write"},
    errno.EROFS: {*CHANGES, "open"},
    errno.EIO: {"fsync"},
}
"What fails, by the error that it fails with."


class StateDisk:
    """The disk with a state folder on it, which refuses from one change on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = Path("/nonexistent")
        self.error = 0
        self.refuses_from = -1
        self.changes = 0
        for name in (*CHANGES, "open", "fsync"):
            monkeypatch.setattr(os, name, self._watched(name, getattr(os, name)))

    def refuse(self, folder: Path, error: int, start: int) -> None:
        self.folder, self.error, self.refuses_from, self.changes = folder, error, start, 0

    def mend(self) -> None:
        self.folder = Path("/nonexistent")

    def _watched(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **more: object) -> object:
            if self._is_meant(name, *arguments):
                self.changes += 1
                if self.changes > self.refuses_from:
                    raise OSError(self.error, os.strerror(self.error), str(arguments[0]))
            return real(*arguments, **more)

        return call

    def _is_meant(self, name: str, what: object, *more: object) -> bool:
        if name not in REFUSED.get(self.error, ()):
            return False
        path = Path(f"/proc/self/fd/{what}").readlink() if isinstance(what, int) else Path(str(what))
        if not path.is_relative_to(self.folder):
            return False
        return name != "open" or self._changes_something(path, int(str(more[0])))

    def _changes_something(self, path: Path, flags: int) -> bool:
        creates = bool(flags & os.O_CREAT) and not path.exists()
        return creates or (self.error == errno.EROFS and bool(flags & os.O_ACCMODE))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> StateDisk:
    return StateDisk(monkeypatch)


def nothing(_trial: Trial) -> None:
    pass


def held(trial: Trial) -> None:
    assert trial.pre().ok


def abandoned(trial: Trial) -> None:
    held(trial)
    trial.machine.kernel.boot += 1


@pytest.mark.parametrize("error", REFUSED, ids=errno.errorcode.get)
@pytest.mark.parametrize(
    ("before", "part"),
    [
        (nothing, Trial.run),
        (nothing, Trial.pre),
        (held, Trial.post),
        (abandoned, Trial.recover),
        (held, Trial.pre),
    ],
)
@pytest.mark.parametrize("name", ["a logical volume"])
def test_from_any_change_of_the_disk_on(shapes, new_folder, disk, name, before, part, error):
    start = refused = 0
    while refused or not start:
        trial = shapes[name].trial(new_folder())
        before(trial)
        disk.refuse(trial.places.state, error, start)
        end = end_of(trial, part)
        refused = max(0, disk.changes - start)
        disk.mend()
        if end and part in {Trial.run, Trial.pre} and before is nothing:
            assert trial.state() == trial.before, (start, end)
        assert_let_go(trial, (start, end))
        start += 1
    assert start > 1 or error == errno.EIO  # who lets go needs nothing to be on the disk


def end_of(trial: Trial, part: Callable[[Trial], object]) -> str:
    """Do it, and give what went wrong: nothing but outcomes, or an error with a sentence, may come."""
    try:
        found = part(trial)
    except HoldstillError as error:
        return str(error)
    outcomes = found if isinstance(found, list) else [found]
    return " ".join(outcome.sentence for outcome in outcomes)


def assert_let_go(trial: Trial, when: object) -> None:
    trial.post()  # what is let go of already did not hold until now, it says, if that could not be written down
    for outcome in trial.recover():
        assert outcome.ok, (when, outcome.sentence)
    assert trial.state() == trial.before, when
    assert not trial.held(), when
    assert not list((trial.places.state / "journals").glob("*.jsonl")), when


@pytest.fixture
def trial(shapes, new_folder) -> Trial:
    """A machine that has a journal which cannot be read, and sorts before all others."""
    made = shapes["a logical volume"].trial(new_folder())
    (made.places.state / "journals" / "0.jsonl").mkdir(parents=True)
    return made


def test_a_journal_that_cannot_be_read_keeps_nobody_from_letting_go_of_the_others(trial):
    abandoned(trial)
    unreadable, finished = trial.recover()
    assert unreadable.code == ExitCode.IO
    assert "0.jsonl cannot be opened" in unreadable.sentence
    assert finished.ok
    assert (trial.held(), trial.state()) == ([], trial.before)


def test_a_journal_that_cannot_be_read_keeps_no_job_from_its_work(trial):
    assert trial.pre().ok
    [outcome] = trial.post()
    assert outcome.ok
    assert trial.state() == trial.before


def test_while_a_journal_cannot_be_read_no_post_takes_its_hold_for_one_that_is_not_there(trial):
    with pytest.raises(StorageError, match=r"0\.jsonl may be of what is to be let go of"):
        trial.post()
