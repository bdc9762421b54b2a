"""Real SQLite databases under load: all that was committed is in the backup, and nothing stays held."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from holdstill_plugins.sqlite import Options

from ..callers.gate import eventually
from ..processes import processes_with
from .conftest import Writer, own

OWNER = "nobody"
JOURNALS = ["wal", "delete"]
CLIENT = """
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=600)
database.execute("PRAGMA synchronous = OFF")
for line in iter(sys.stdin.readline, ""):
    database.execute(line)
    print("ok", flush=True)
"""


class Database:
    """A file with numbers in it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, timeout: float = 600) -> closing[sqlite3.Connection]:
        return closing(sqlite3.connect(self.path, isolation_level=None, timeout=timeout))

    def make(self, journal: str) -> None:
        shutil.chown(self.path.parent, OWNER)
        with self.open() as made:
            made.execute(f"PRAGMA journal_mode = {journal}")
            made.execute("CREATE TABLE numbers (n INTEGER PRIMARY KEY, more TEXT DEFAULT '')")
        shutil.chown(self.path, OWNER)

    @property
    def numbers(self) -> list[int]:
        with self.open() as opened:
            return [number for (number,) in opened.execute("SELECT n FROM numbers ORDER BY n")]

    @property
    def is_sound(self) -> bool:
        with self.open() as opened:
            return opened.execute("PRAGMA integrity_check").fetchall() == [("ok",)]

    def lets_write(self) -> bool:
        with self.open() as opened:
            opened.execute("INSERT INTO numbers (n) VALUES (1000000)")
            opened.execute("DELETE FROM numbers WHERE n = 1000000")
        return True

    def writer(self) -> Writer:
        return Writer(
            [sys.executable, "-I", "-S", "-c", CLIENT, str(self.path)], "INSERT INTO numbers (n) VALUES ({0})"
        )

    @contextmanager
    def half_done(self) -> Iterator[None]:
        """Have a change under way that is too large for memory, and so in the file already."""
        with self.open() as opened:
            opened.execute("PRAGMA cache_size = 2")
            opened.execute("BEGIN")
            for number in range(1001, 1201):
                opened.execute("INSERT INTO numbers VALUES (?, ?)", (number, "x" * 2000))
            yield
            opened.execute("COMMIT")

    @property
    def holders(self) -> list[int]:
        return processes_with("sqlite_lock.py", str(self.path))


@pytest.fixture(params=JOURNALS)
def journal(request) -> str:
    return request.param


@pytest.fixture
def database(volume, journal) -> Iterator[Database]:
    folder = own(volume.folder / "app", OWNER)
    made = Database(folder / "app 1.db")
    made.make(journal)
    yield made
    shutil.rmtree(folder)


@pytest.fixture
def other(database) -> Database:
    """Another one."""
    other = Database(database.path.with_name("other.db"))
    other.make("delete")
    return other


def step(*databases: Database, **more: str) -> str:
    options = "".join(f", {key}: {value}" for key, value in {"at-most": "10m", **more}.items())
    return f"sqlite: {{paths: {[str(database.path) for database in databases]}{options}}}"


def restored(job, place) -> Database:
    return Database(job.restored(place) / "app" / "app 1.db")


def test_all_that_was_committed_is_there_and_nothing_is_half_done(job, database, other, place, journal):
    job.configure(step(database, other))
    with database.writer() as writer:
        before = writer.confirmed
        job.run()
        after = writer.asked
    backup = restored(job, place)
    assert not Path(f"{backup.path}-journal").exists()
    assert Path(f"{backup.path}-wal").exists() == (journal == "wal")
    numbers = backup.numbers
    assert numbers == list(range(1, len(numbers) + 1))
    assert before <= len(numbers) <= after
    assert backup.is_sound


@pytest.mark.parametrize("journal", ["delete"])
def test_without_quiescing_what_was_half_done_has_to_be_rolled_back(job, database, place):
    with database.open() as opened:
        opened.execute("INSERT INTO numbers (n) VALUES (1)")
    job.configure("sync")
    with database.half_done():
        job.run()
    backup = restored(job, place)
    assert Path(f"{backup.path}-journal").stat().st_size > 0
    assert backup.numbers == [1]
    assert backup.is_sound


def test_others_read_and_do_not_write_while_it_is_quiet(job, database):
    job.configure(step(database), "gate")
    process = job.start()
    job.wait_at_the_gate()
    assert database.numbers == []
    with database.open(timeout=0) as opened, pytest.raises(sqlite3.OperationalError, match="locked"):
        opened.execute("INSERT INTO numbers (n) VALUES (1)")
    job.go_on()
    assert process.communicate()[1] == ""
    assert database.lets_write()


def test_it_is_held_by_its_owner_and_what_that_leaves_is_the_owners(job, database):
    job.configure(step(database), "gate")
    process = job.start()
    job.wait_at_the_gate()
    owner = pwd.getpwnam(OWNER).pw_uid
    [holder] = database.holders
    assert Path(f"/proc/{holder}").stat().st_uid == owner
    assert {path.stat().st_uid for path in database.path.parent.iterdir()} == {owner}
    job.go_on()
    assert process.communicate()[1] == ""


@pytest.mark.parametrize("point", ["before", "quiet", "letting go"])
def test_others_go_on_when_holdstill_is_killed(job, database, point):
    job.kill(point, step(database), lambda: database.holders[0])
    assert database.lets_write()
    eventually(lambda: not database.holders)
    assert job.site.call("recover").returncode == 0


def test_others_go_on_when_holdstill_is_killed_while_it_waits_for_them(job, database):
    job.configure(step(database, within="10m"))
    with database.half_done():
        job.kill_once(lambda: database.holders)
    assert database.lets_write()
    eventually(lambda: not database.holders)
    assert job.site.call("recover").returncode == 0


def test_a_lock_that_was_lost_fails_the_job(job, database):
    job.configure(step(database), "gate")
    process = job.start()
    job.wait_at_the_gate()
    os.kill(database.holders[0], signal.SIGKILL)
    assert database.lets_write()
    job.go_on()
    _, err = process.communicate()
    assert process.returncode != 0
    assert "guest db, quiesce: sqlite" in err


@pytest.mark.parametrize("journal", ["delete"])
def test_one_that_is_being_written_to_for_too_long_fails_the_job_and_lets_go_of_the_others(
    job, database, other
):
    job.configure(step(other, database, within="1s"))
    with database.half_done():
        done = job.site.call("run", "nightly")
        assert other.lets_write()
    assert done.returncode != 0
    assert "database is locked" in done.stderr


@pytest.mark.parametrize("journal", ["delete"])
@pytest.mark.parametrize(
    ("made", "sentence"), [(None, "No such file"), ("This is a text. " * 100, "file is not a database")]
)
def test_what_is_in_the_way_is_said_by_check(job, database, made, sentence):
    database.path.unlink()
    if made:
        database.path.write_text(made)
    job.configure(step(database))
    done = job.site.call("check", "nightly")
    assert done.returncode != 0
    assert sentence in done.stderr + done.stdout


@pytest.mark.parametrize("journal", ["delete"])
def test_a_link_leads_its_owner_to_nothing_that_is_not_the_owners(job, database, place):
    secret = Database(place / "secret.db")
    secret.make("delete")
    shutil.chown(secret.path, "root")
    secret.path.chmod(0o600)
    database.path.unlink()
    database.path.symlink_to(secret.path)
    os.chown(database.path, pwd.getpwnam(OWNER).pw_uid, -1, follow_symlinks=False)
    job.configure(step(database))
    done = job.site.call("check", "nightly")
    assert "unable to open database file" in done.stderr + done.stdout


@pytest.mark.parametrize("paths", [[], ["app.db"]])
def test_paths_are_absolute(paths):
    with pytest.raises(ValueError, match="absolute"):
        Options(paths=paths)
