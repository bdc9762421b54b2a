"""The journal of a run: what it keeps, who may have it, and what a failing disk does to it."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from holdstill.errors import StorageError
from holdstill.journal import journal as module
from holdstill.journal.journal import Journal
from holdstill.journal.records import Promise, encode
from holdstill.journal.shelf import State, holds, journals_in
from holdstill.journal.story import tell
from holdstill.journal.unborn import remove_unborn

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
BAD = OSError(errno.EIO, os.strerror(errno.EIO))


def promise(journal, what="a change", **facts):
    return journal.promise(
        Promise(number=0, plugin="p", guest="web", what=what, by_hand=f"undo {what}", facts=facts)
    )


def retold(journal):
    return tell(journal.path.read_bytes())


# What is kept


def test_a_promise_is_on_the_disk_when_it_was_given(journal):
    given_ = promise(journal, "mount", at="/x", number=3, files=["a", "b"])
    assert retold(journal).open == (given_,) == journal.open_promises
    assert given_.facts == {"at": "/x", "number": 3, "files": ["a", "b"]}


def test_what_is_undone_is_not_open_any_more(journal):
    first, second, third = (promise(journal, what) for what in ("a", "b", "c"))
    journal.undone(second)
    assert journal.open_promises == (first, third) == retold(journal).open


def test_numbers_are_never_used_twice_not_even_after_taking_over(journal):
    journal.undone(promise(journal))
    journal.leave()
    taken = Journal.take(journal.path)
    assert promise(taken).number == 2
    taken.leave()


def test_guests_that_are_opened_at_once_promise_each_under_a_number_of_its_own(journal, mocker):
    def encoded(record):
        os.sched_yield()  # it is another one's turn
        return encode(record)

    mocker.patch.object(module, "encode", encoded)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda number: promise(journal, str(number)), range(200)))
    assert sorted(one.number for one in made) == list(range(1, 201))
    assert retold(journal).open == journal.open_promises


def test_the_end_of_a_run_is_the_end_of_its_journal(journal):
    journal.close()
    assert not journal.path.exists()
    assert Journal.take(journal.path) is None


@pytest.mark.parametrize("fact", [1.5, True, None, {"a": "b"}, [1], [["a"]], float("nan")])
def test_a_fact_that_could_not_be_read_back_is_refused_before_anything_is_promised(journal, fact):
    before = journal.path.read_bytes()
    with pytest.raises(TypeError, match="facts of a promise are texts, whole numbers and lists of texts"):
        promise(journal, fact=fact)
    assert (journal.path.read_bytes(), journal.open_promises) == (before, ())


def test_a_damaged_journal_is_kept_under_another_name(journal):
    promise(journal)
    damage(journal)
    written = journal.path.read_bytes()
    taken = Journal.take(journal.path)
    taken.close()
    assert not journal.path.exists()
    assert taken.kept_as.read_bytes() == written
    assert taken.kept_as.suffix != ".jsonl"


@pytest.mark.parametrize("tail", ["", "torn"])
def test_what_is_promised_behind_the_damage_is_read_again(journal, tail):
    """Whoever lets go of what a damaged journal tells may have to stop a service for that, and to start it again."""
    promise(journal)
    damage(journal)
    with journal.path.open("a") as file:
        file.write(tail)
    taken = Journal.take(journal.path)
    made = promise(taken)
    taken.leave()
    assert made in Journal.take(journal.path).open_promises


def damage(journal):
    """Have a line in the middle of it that cannot be read, when its run has died."""
    journal.leave()
    header, *rest = journal.path.read_bytes().splitlines(keepends=True)
    journal.path.write_bytes(b"".join([header, b"?\n", *rest]))


# Who may have it


def test_a_journal_has_its_name_only_once_it_is_locked(state, header, mocker):
    folder = journals_in(state)
    named = []

    def acquire(descriptor):
        named.append([path.suffix for path in folder.iterdir()])
        return locked(descriptor)

    locked = module.acquire
    mocker.patch.object(module, "acquire", acquire)
    journal = Journal.create(folder, header)
    journal.leave()
    assert named == [[".new"]]
    assert [path.name for path in folder.iterdir()] == [f"{header.id}.jsonl"]


def test_two_runs_of_one_id_are_refused(state, header):
    journal = Journal.create(journals_in(state), header)
    journals_in(state).joinpath(f".{header.id}.new").touch()
    with pytest.raises(StorageError, match="File exists"):
        Journal.create(journals_in(state), header)
    assert Journal.take(journal.path) is None
    journal.leave()


def test_a_journal_that_never_came_to_be_is_removed(state, header):
    Journal.create(journals_in(state), header).close()
    left = journals_in(state) / ".20260102T013000Z5f3a.new"
    left.touch()
    remove_unborn(journals_in(state))
    assert not left.exists()


def test_while_any_journal_is_made_none_is_removed(state, header, monkeypatch):
    """It has no lock yet when it is there."""
    folder, seen = journals_in(state), []

    def acquired(_descriptor):
        remove_unborn(folder)
        seen.extend(folder.glob(".*.new"))
        return True

    monkeypatch.setattr(module, "acquire", acquired)
    journal = Journal.create(folder, header)
    assert len(seen) == 1
    assert journal.path.exists()
    journal.close()


def test_a_journal_can_be_read_by_nobody_else(journal):
    assert journal.path.stat().st_mode & 0o777 == 0o600


def test_the_folder_for_journals_is_made_for_root_only(state, header):
    Journal.create(journals_in(state), header).leave()
    assert journals_in(state).stat().st_mode & 0o777 == 0o700


def test_the_journal_of_a_living_run_is_not_taken(journal):
    assert Journal.take(journal.path) is None


def test_of_many_that_take_over_at_once_one_gets_it(journal):
    promise(journal)
    journal.leave()
    with ThreadPoolExecutor(8) as pool:
        taken = [one for one in pool.map(Journal.take, [journal.path] * 32) if one]
    assert len(taken) == 1
    assert taken[0].story.open == retold(journal).open
    taken[0].leave()


def test_a_journal_that_was_finished_while_we_waited_for_its_lock_is_not_taken(journal, mocker):
    def finish_first(descriptor):
        journal.close()
        return locked(descriptor)

    locked = module.acquire
    mocker.patch.object(module, "acquire", finish_first)
    assert Journal.take(journal.path) is None


def test_a_journal_that_cannot_be_opened_is_a_sentence(journal, mocker):
    mocker.patch("os.open", side_effect=BAD)
    with pytest.raises(StorageError, match=r"cannot be opened: Input/output error\.$"):
        Journal.take(journal.path)


def test_a_journal_that_cannot_be_read_is_a_sentence_and_nobodys(journal, mocker):
    journal.leave()
    mocker.patch("os.pread", side_effect=BAD)
    with pytest.raises(StorageError, match=r"cannot be read: Input/output error\.$"):
        Journal.take(journal.path)
    mocker.stopall()
    assert Journal.take(journal.path)


RUN = """
import sys
from pathlib import Path
from holdstill.journal.journal import Journal
from holdstill.journal.records import Header, Promise
header = Header(id="other", job="nightly", session="s", trees="/t", started=1, boot="b", pid=1, release_within=1)
journal = Journal.create(Path(sys.argv[1]), header)
journal.promise(Promise(number=0, plugin="p", guest="", what="w", by_hand="h", facts={}))
print(journal.path, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other_process(state):
    """Another process with a run of its own, which ends when its standard input does."""
    with subprocess.Popen(
        [sys.executable, "-c", RUN, journals_in(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        process.stdout.readline()
        yield process
        process.kill()


def test_a_run_of_another_process_lives_until_that_is_killed(state, other_process):
    [held] = holds(state, "b")
    assert (held.state, Journal.take(held.path)) == (State.LIVING, None)
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    [held] = holds(state, "b")
    assert held.state is State.ABANDONED
    taken = Journal.take(held.path)
    assert [one.what for one in taken.open_promises] == ["w"]
    taken.leave()


def test_a_command_that_outlives_its_run_does_not_keep_the_journal(journal):
    with subprocess.Popen(["sleep", "60"], close_fds=False) as sleeping:
        journal.leave()
        taken = Journal.take(journal.path)
        sleeping.kill()
    assert taken
    taken.leave()


def test_looking_at_a_journal_never_takes_it(journal, state):
    journal.leave()
    [held] = holds(state, "b")
    taken = Journal.take(held.path)
    assert (taken is not None, [held.state for held in holds(state, "b")]) == (True, [State.LIVING])
    taken.leave()


# A torn tail


@given(st.integers(0, 500), st.sampled_from([b"", b"\0" * 100, b"\xff{", b"\n\n", b'{"record":"promise"}\n']))
def test_a_run_goes_on_after_any_torn_tail(tmp_path_factory, make_header_of_session, cut, tail):
    folder = tmp_path_factory.mktemp("torn", numbered=True)
    journal = Journal.create(folder, make_header_of_session())
    for what in ("a", "b", "c"):
        promise(journal, what)
    journal.leave()
    content = journal.path.read_bytes()
    cut = max(cut, content.index(b"\n") + 1)
    assume(not content[cut:].startswith(tail[:1] or b"-"))  # a tail that makes the last record whole is none
    journal.path.write_bytes(content[:cut] + tail)
    whole = tell(content[:cut]).promises
    taken = Journal.take(journal.path)
    taken.undone(promise(taken, "d"))
    taken.leave()
    story = tell(journal.path.read_bytes())
    assert not story.damage
    assert [one.what for one in story.promises] == [*(one.what for one in whole), "d"]
    assert story.open == whole


@pytest.fixture(scope="session")
def make_header_of_session():
    from holdstill.journal.records import Header

    fields = json.loads('{"id":"r","job":"j","session":"s","trees":"/t","boot":"b"}')
    return lambda: Header(**fields, started=1, pid=1, release_within=1)


# A disk that fails


def fail(mocker, call, error, *, after=0):
    """Let ``os.write`` or ``os.fsync`` fail from its ``after``-th call on."""
    real, calls = getattr(os, call), []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) > after:
            raise error
        return real(*arguments)

    return mocker.patch(f"os.{call}", failing)


def write_half(mocker):
    real = os.write
    mocker.patch("os.write", lambda descriptor, data: real(descriptor, data[: len(data) // 2]))


@pytest.mark.parametrize("error", [FULL, BAD], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize(("call", "after"), [("write", 0), ("fsync", 0), ("fsync", 1)])
def test_a_promise_that_cannot_be_written_leaves_nothing(journal, mocker, call, after, error):
    before = journal.path.read_bytes()
    fail(mocker, call, error, after=after)
    with pytest.raises(StorageError, match=f"The journal .* cannot be written: {error.strerror}"):
        promise(journal)
    mocker.stopall()
    assert (journal.path.read_bytes(), journal.open_promises) == (before, ())


@pytest.mark.parametrize("error", [FULL, BAD], ids=["ENOSPC", "EIO"])
@pytest.mark.parametrize("call", ["write", "fsync"])
def test_after_a_failed_promise_the_next_one_is_kept_well(journal, mocker, call, error):
    first = promise(journal, "first")
    fail(mocker, call, error)
    with pytest.raises(StorageError):
        promise(journal, "second")
    mocker.stopall()
    third = promise(journal, "third")
    assert retold(journal).open == (first, third) == journal.open_promises
    assert not retold(journal).damage


def test_half_a_promise_is_taken_back(journal, mocker):
    before = journal.path.read_bytes()
    write_half(mocker)
    with pytest.raises(StorageError, match="No space left on device"):
        promise(journal)
    mocker.stopall()
    assert journal.path.read_bytes() == before


@pytest.mark.parametrize(
    "breaking", [lambda m: fail(m, "write", FULL), lambda m: fail(m, "write", BAD), write_half]
)
def test_a_full_disk_does_not_stop_letting_go(journal, mocker, breaking):
    first, second = promise(journal, "a"), promise(journal, "b")
    breaking(mocker)
    journal.undone(first)
    mocker.stopall()
    assert journal.open_promises == (second,)
    assert retold(journal).open == (first, second)  # one more look, nothing else
    assert not retold(journal).damage


@pytest.mark.parametrize("call", ["write", "fsync"])
def test_a_hold_that_cannot_be_handed_over_is_kept(journal, mocker, call, state):
    promise(journal)
    fail(mocker, call, FULL)
    with pytest.raises(StorageError):
        journal.hand_over(1e12)
    mocker.stopall()
    assert Journal.take(journal.path) is None
    assert retold(journal).handed_over is None
    assert [held.state for held in holds(state, "the-boot-of-the-test")] == [State.LIVING]


@pytest.mark.parametrize("breaking", [lambda m: fail(m, "write", FULL), write_half])
def test_a_journal_that_cannot_be_begun_leaves_nothing(state, header, mocker, breaking):
    breaking(mocker)
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(StorageError, match="No space left on device"):
        Journal.create(journals_in(state), header)
    assert list(journals_in(state).iterdir()) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path, header):
    (tmp_path / "state").touch()
    with pytest.raises(StorageError, match="cannot be written: "):
        Journal.create(journals_in(tmp_path / "state"), header)


# What it costs


@pytest.fixture
def synced(mocker):
    """What was fsynced, by name, in order."""
    names, real = [], os.fsync

    def fsync(descriptor):
        names.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    mocker.patch("os.fsync", fsync)
    return names


def test_a_promise_costs_one_fsync_and_the_first_one_more_for_the_folder(journal, synced):
    for _ in range(3):
        promise(journal)
    assert synced == [str(journal.path), str(journal.path.parent), str(journal.path), str(journal.path)]


def test_undoing_costs_no_fsync(journal, synced):
    promises = [promise(journal) for _ in range(3)]
    synced.clear()
    for one in promises:
        journal.undone(one)
    journal.close()
    assert synced == []


def test_a_promise_is_one_write(journal, mocker):
    written = mocker.spy(os, "write")
    record = promise(journal, "x")
    written.assert_called_once_with(mocker.ANY, encode(record))


def test_the_folder_for_journals_outlives_a_power_cut_too(state, header, synced):
    Journal.create(journals_in(state), header).leave()
    assert synced == [str(state), str(state.parent)]


def test_a_promise_is_plain_json_with_all_that_undoing_takes(journal):
    promise(journal, "mount", at="/x")
    header, line = map(json.loads, journal.path.read_text().splitlines())
    assert header["version"] == 1
    assert line == {
        "record": "promise",
        "number": 1,
        "plugin": "p",
        "guest": "web",
        "what": "mount",
        "by_hand": "undo mount",
        "facts": {"at": "/x"},
        "afterwards": False,
    }
    assert (
        Promise(**{key: value for key, value in line.items() if key != "record"}) == journal.open_promises[0]
    )
