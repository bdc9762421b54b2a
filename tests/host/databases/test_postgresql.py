"""A real PostgreSQL under load: what was committed before the snapshot is in the backup, and nothing stays held."""

from __future__ import annotations

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdstill_plugins.postgresql import Options

from ..callers.gate import eventually
from .conftest import Writer, own, stopped

BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
SETTINGS = (
    "-c listen_addresses= -c shared_buffers=16MB -c max_wal_size=64MB -c autovacuum=off"
    " -c archive_mode=on -c archive_timeout=0"
)


class Server:
    """A server that listens in its own folder only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.connection = f"host={folder} dbname=postgres"

    def make(self) -> None:
        initdb = (  # synced, as a server is that has run for a while
            BINARIES / "initdb",
            "-D",
            self.data,
            "-U",
            "postgres",
            "--wal-segsize=1",
            "-A",
            "trust",
        )
        as_postgres(*initdb)
        hba = self.data / "pg_hba.conf"
        hba.write_text(f"local all with_password scram-sha-256\n{hba.read_text()}")
        (self.folder / "wal").mkdir()
        own(self.folder / "wal", "postgres")

    @contextmanager
    def running(self, more: str = "") -> Iterator[Server]:
        archive = f"cp %p {self.folder}/wal/new && mv {self.folder}/wal/new {self.folder}/wal/%f"
        options = f"{SETTINGS} -k {self.folder} -c archive_command='{archive}' {more}"
        start = ("start", "-w", "-t", "180", "-D", self.data, "-l", self.folder / "log", "-o", options)
        started = as_postgres(BINARIES / "pg_ctl", *start, check=False)
        assert "server started" in started, (self.folder / "log").read_text()[-2000:]
        try:
            yield self
        finally:
            as_postgres(BINARIES / "pg_ctl", "stop", "-w", "-m", "immediate", "-D", self.data)

    def sql(self, text: str) -> str:
        return as_postgres("psql", "-X", "-qAt", "-d", self.connection, "-c", text).strip()

    def sessions(self, doing: str = "%") -> list[int]:
        """The server's processes for the job's."""
        return self._processes(f"application_name = 'holdstill' AND query LIKE '{doing}'")

    @property
    def checkpointer(self) -> int:
        """The process for which whoever wants a checkpoint waits."""
        [pid] = self._processes("backend_type = 'checkpointer'")
        return pid

    def _processes(self, which: str) -> list[int]:
        return [int(pid) for pid in self.sql(f"SELECT pid FROM pg_stat_activity WHERE {which}").split()]

    def writer(self) -> Writer:
        argv = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "psql", "-X", "-qAt"]
        return Writer([*argv, "-d", self.connection], "INSERT INTO numbers VALUES ({0}); SELECT {0};")

    def assert_has_all_up_to(self, least: int, most: int) -> None:
        """What one client wrote in turn is there without a hole, and its files are sound."""
        count, last = map(int, self.sql("SELECT count(*), max(n) FROM numbers").split("|"))
        assert count == last
        assert least <= last <= most
        self.sql("CREATE EXTENSION amcheck")
        as_postgres(
            BINARIES / "pg_amcheck", "-h", self.folder, "--heapallindexed", "--rootdescend", "postgres"
        )


def as_postgres(*argv: str | Path, check: bool = True) -> str:
    done = subprocess.run(
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", *argv],
        cwd="/",
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or not check, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def server(volume) -> Iterator[Server]:
    made = Server(own(volume.folder, "postgres"))
    made.make()
    with made.running():
        made.sql(
            "CREATE ROLE with_password LOGIN PASSWORD 'w0rd-of-it'; GRANT pg_checkpoint TO with_password"
        )
        yield made


@pytest.fixture
def numbers(server) -> Server:
    server.sql("DROP TABLE IF EXISTS numbers; CREATE TABLE numbers (n int PRIMARY KEY)")
    return server


def step(server, **options: str) -> str:
    written = {"connection": server.connection, **options}
    return f"postgresql: {{{', '.join(f'{key}: {value!r}' for key, value in written.items())}}}"


def restored_files(job, place) -> Server:
    """Restore, without what a running server has locked."""
    server = Server(job.restored(own(place, "postgres")))
    for lock in [server.data / "postmaster.pid", *place.glob(".s.PGSQL.*")]:
        lock.unlink()
    return server


@contextmanager
def restored(job, place) -> Iterator[Server]:
    """The server as it is in the backup, running, with another folder."""
    server = restored_files(job, place)
    with server.running("-c archive_mode=off"):
        yield server


@pytest.mark.parametrize("quiesced", [True, False], ids=["with a checkpoint", "without quiescing"])
def test_a_snapshot_at_one_moment_has_all_that_was_committed(job, numbers, place, quiesced):
    job.configure(*[step(numbers)] if quiesced else [])
    with numbers.writer() as writer:
        before = writer.confirmed
        job.run()
        after = writer.asked
    with restored(job, place) as server:
        server.assert_has_all_up_to(before, after)
        assert "automatic recovery in progress" in (server.folder / "log").read_text()


def test_a_backup_with_its_label_is_rolled_forward_from_the_archive(job, numbers, place):
    job.configure(step(numbers, mode="backup"))
    with numbers.writer() as writer:
        before = writer.confirmed
        job.run()
        after = writer.asked
    last = numbers.sql("SELECT pg_walfile_name(pg_switch_wal())")
    eventually((numbers.folder / "wal" / last).exists)
    restored = restored_files(job, place)
    (restored.data / "backup_label").write_text(job.kept("backup_label"))
    shutil.chown(restored.data / "backup_label", "postgres")
    (restored.data / "recovery.signal").touch()
    assert "LABEL: holdstill 20" in job.kept("backup_label")
    restore = f"-c restore_command='cp {numbers.folder}/wal/%f %p' -c recovery_target_action=promote"
    with restored.running(f"-c archive_mode=off {restore}") as server:
        eventually(lambda: server.sql("SELECT pg_is_in_recovery()") == "f")
        server.assert_has_all_up_to(after - 1, writer.asked)
    assert before < after


@pytest.mark.parametrize("point", ["before", "quiet", "letting go"])
def test_the_backup_mode_ends_when_holdstill_is_killed(job, numbers, point):
    job.kill(point, step(numbers, mode="backup"), lambda: numbers.sessions()[0])
    eventually(lambda: not numbers.sessions())
    assert job.site.call("recover").returncode == 0


def test_a_backup_mode_that_is_waited_for_is_not_begun_when_holdstill_is_killed(job, numbers):
    job.configure(step(numbers, mode="backup", within="10m"))
    with stopped(numbers.checkpointer):
        job.kill_once(lambda: numbers.sessions("SELECT pg_backup_start%"))
    eventually(lambda: not numbers.sessions())
    assert job.site.call("recover").returncode == 0


def test_the_server_ends_it_itself_when_holdstill_hangs(job, numbers):
    job.configure(step(numbers, mode="backup", **{"at-most": "1s"}), "gate")
    process = job.start()
    job.wait_at_the_gate()
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: not numbers.sessions())
    job.go_on()
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate(timeout=180)
    assert process.returncode != 0
    assert "guest db, quiesce: postgresql" in err


def test_a_password_is_told_to_nobody(job, numbers):
    secret = job.folder / "password"
    secret.write_text("w0rd-of-it\n")
    secret.chmod(0o600)
    connection = f"host={numbers.folder} dbname=postgres user=with_password"
    job.configure(step(numbers, connection=connection, password=str(secret)))
    assert job.site.call("check", "nightly").returncode == 0
    told = job.run() + job.site.call("plan", "nightly").stdout
    assert "w0rd" not in told


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"connection": "host=/nonexistent"}, "cannot be asked"),
        ({"system-user": "nobody-of-that-name"}, "There is no user 'nobody-of-that-name'"),
        ({"mode": "backup", "connection": "host={} dbname=postgres user=plain"}, "GRANT EXECUTE ON FUNCTION"),
        ({"connection": "host={} dbname=postgres user=plain"}, "GRANT pg_checkpoint"),
    ],
)
def test_what_is_in_the_way_is_said_by_check(job, numbers, options, sentence):
    numbers.sql("DROP ROLE IF EXISTS plain; CREATE ROLE plain LOGIN")
    job.configure(step(numbers, **{key: value.format(numbers.folder) for key, value in options.items()}))
    done = job.site.call("check", "nightly")
    assert done.returncode != 0
    assert sentence in done.stderr + done.stdout


@pytest.mark.parametrize(
    "options",
    [{"connection": "password = x1"}, {"connection": "postgresql://me:x1@there/"}, {"password": "x1"}],
)
def test_a_password_in_the_configuration_is_refused_without_telling_it(options):
    with pytest.raises(ValueError, match="not written") as refused:
        Options(**options)
    assert "x1" not in str(refused.value)
