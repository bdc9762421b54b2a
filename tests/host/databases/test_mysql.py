"""A real MariaDB under load: what was committed before the snapshot is in the backup, and nothing stays held."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdstill_plugins.mysql import Options

from ..callers.gate import eventually
from .conftest import Writer, daemon, own

SETTINGS = (
    "--no-defaults",
    "--user=mysql",
    "--log-bin=binlog",
    "--server-id=1",
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-data-file-path=ibdata1:8M:autoextend",
    "--innodb-temp-data-file-path=ibtmp1:4M:autoextend",
)
ENGINES = ("InnoDB", "Aria", "MyISAM")
WORD = "w0rd-of-it"
MODES = ["backup-stage", "read-lock"]


class Server:
    """A server that listens at a socket in its own folder only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.socket = folder / "socket"
        self.log = folder / "log.err"
        self.pid = 0

    def make(self) -> None:
        install = ("--auth-root-authentication-method=socket", "--skip-test-db", f"--datadir={self.data}")
        subprocess.run(["mariadb-install-db", *SETTINGS, *install], check=True, capture_output=True)

    @contextmanager
    def running(self) -> Iterator[Server]:
        places = (f"--datadir={self.data}", f"--socket={self.socket}", f"--log-error={self.log}")
        argv = ("mariadbd", *SETTINGS, *places, "--skip-networking", "--pid-file=pid")
        with daemon(*argv, ready=self.answers, log=self.log) as self.pid:
            yield self

    def client(self, *argv: str) -> list[str]:
        settings = ("--no-defaults", "--batch", "--skip-column-names", "--unbuffered")
        return ["mariadb", *settings, f"--socket={self.socket}", *argv]

    def answers(self) -> bool:
        argv = self.client("--execute", "SELECT 1")
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def sql(self, text: str, *argv: str) -> str:
        done = subprocess.run(
            self.client(*argv, "--execute", text), capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def sessions(self, doing: str = "%") -> list[str]:
        """Those of the job's."""
        return self.sql(
            "SELECT id FROM information_schema.processlist"
            f" WHERE user = 'backup' AND COALESCE(info, '') LIKE '{doing}'"
        ).split()

    def lets_write(self) -> bool:
        """Whether nobody is held."""
        self.sql("INSERT INTO test.others VALUES (1)")
        return True

    @contextmanager
    def busy_with(self, statement: str, seconds: int = 0) -> Iterator[None]:
        """Have somebody run a statement all the time, who has done so for some seconds already."""
        process = subprocess.Popen(self.client("--execute", statement, "test"), stderr=subprocess.DEVNULL)
        running = f"FROM information_schema.processlist WHERE state = 'User sleep' AND time >= {seconds}"
        try:
            eventually(lambda: self.sql(f"SELECT id {running}"))
            yield
            assert self.sql(f"SELECT id {running}")
        finally:
            process.kill()
            process.wait()
            eventually(lambda: not self.sql(f"SELECT id {running}"))

    def writer(self) -> Writer:
        statements = [f"INSERT INTO {engine} VALUES ({{0}});" for engine in ENGINES]
        return Writer(self.client("test"), f"{' '.join(statements)} SELECT {{0}};")

    def assert_has_all_up_to(self, least: int, most: int, engines: tuple[str, ...]) -> None:
        """What one client wrote in turn is there without a hole, and its tables are sound."""
        for engine in engines:
            count, last = map(int, self.sql(f"SELECT COUNT(*), MAX(n) FROM test.{engine}").split())
            assert count == last, engine
            assert least <= last <= most, engine
            assert self.sql(f"CHECK TABLE test.{engine} EXTENDED") == f"test.{engine}\tcheck\tstatus\tOK"


@pytest.fixture(scope="module")
def server(volume) -> Iterator[Server]:
    made = Server(own(volume.folder, "mysql"))
    made.make()
    with made.running():
        made.sql(
            f"CREATE USER backup@localhost IDENTIFIED BY '{WORD}';"
            "GRANT RELOAD, PROCESS, BINLOG MONITOR ON *.* TO backup@localhost;"
            "CREATE USER plain@localhost"
        )
        yield made


@pytest.fixture
def tables(server) -> Server:
    tables = [f"CREATE TABLE test.{engine} (n INT PRIMARY KEY) ENGINE={engine};" for engine in ENGINES]
    server.sql(
        f"DROP DATABASE IF EXISTS test; CREATE DATABASE test; {' '.join(tables)}"
        "CREATE TABLE test.others (n INT) ENGINE=InnoDB; SET GLOBAL innodb_flush_log_at_trx_commit = 0"
    )
    return server


@pytest.fixture
def step(job, tables):
    """Give the step, with other options than it has for most."""
    secret = job.folder / "password"
    secret.write_text(f"{WORD}\n")
    secret.chmod(0o600)

    def written(user: str = "backup", more: str = "", **options: str) -> str:
        connection = f"--socket={tables.socket} --user={user} {more}"
        given = {"connection": connection, "password": str(secret), **options}
        return f"mysql: {{{', '.join(f'{key}: {value!r}' for key, value in given.items())}}}"

    return written


@contextmanager
def restored(job, place) -> Iterator[Server]:
    """The server as it is in the backup, running, with another folder."""
    server = Server(job.restored(own(place, "mysql")))
    server.log.unlink()
    with server.running():
        yield server


@pytest.mark.parametrize("mode", MODES)
def test_all_that_was_committed_is_there_and_tables_of_all_engines_are_in_order(
    job, tables, step, place, mode
):
    job.configure(step(mode=mode), "sync")
    with tables.writer() as writer:
        before = writer.confirmed
        job.run()
        after = writer.asked
    with restored(job, place) as server:
        server.assert_has_all_up_to(before, after, ENGINES)


def test_without_quiescing_the_server_has_to_recover_what_it_has_promised(job, tables, place):
    tables.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1")
    job.configure()
    with tables.writer() as writer:
        before = writer.confirmed
        job.run()
        after = writer.asked
    with restored(job, place) as server:
        server.assert_has_all_up_to(before, after, ("InnoDB",))
        assert "Starting crash recovery" in server.log.read_text()


def test_what_is_written_after_the_kept_position_is_what_the_backup_does_not_have(job, tables, step, place):
    job.configure(step(), "sync")
    with tables.writer():
        job.run()
    kept = dict(line.split(": ") for line in job.kept("binlog_position").splitlines())
    binlog = ["mariadb-binlog", "--no-defaults", f"--start-position={kept['position']}"]
    logs = sorted(path for path in tables.data.glob("binlog.0*") if path.name >= kept["file"])
    later = subprocess.run([*binlog, *logs], capture_output=True, text=True, check=True).stdout
    assert kept["gtid"].startswith("0-1-")
    with restored(job, place) as server:
        subprocess.run(server.client(), input=later, text=True, check=True)
        rows = "SELECT COUNT(*), MAX(n) FROM test.{}"
        for engine in ENGINES:
            assert server.sql(rows.format(engine)) == tables.sql(rows.format(engine))


def test_others_read_and_cannot_commit_while_it_is_quiet(job, tables, step):
    job.configure(step(), "gate")
    process = job.start()
    job.wait_at_the_gate()
    assert tables.sql("SELECT COUNT(*) FROM test.others") == "0"
    writes = "SET STATEMENT lock_wait_timeout = 1 FOR INSERT INTO test.others VALUES (2)"
    with pytest.raises(AssertionError, match="Lock wait timeout"):
        tables.sql(writes)
    job.go_on()
    assert process.communicate()[1] == ""
    assert tables.lets_write()


@pytest.mark.parametrize("point", ["before", "quiet", "letting go"])
@pytest.mark.parametrize("mode", MODES)
def test_the_server_goes_on_when_holdstill_is_killed(job, tables, step, mode, point):
    job.kill(point, step(mode=mode), tables.pid)
    eventually(lambda: not tables.sessions())
    assert tables.lets_write()
    assert job.site.call("recover").returncode == 0


@pytest.mark.parametrize(
    ("mode", "table", "waits"),
    [("backup-stage", "MyISAM", "BACKUP STAGE BLOCK_DDL"), ("read-lock", "InnoDB", "FLUSH TABLES %")],
)
def test_the_server_goes_on_when_holdstill_is_killed_while_it_waits_for_a_lock(
    job, tables, step, mode, table, waits
):
    job.configure(step(mode=mode, **{"lock-wait": "5s", "long-query": "1h"}))
    with tables.busy_with(f"INSERT INTO {table} SELECT SLEEP(600)"):
        job.kill_once(lambda: tables.sessions(waits))
        eventually(lambda: not tables.sessions())
        assert tables.lets_write()
    assert job.site.call("recover").returncode == 0


def test_the_server_ends_it_itself_when_holdstill_hangs(job, tables, step):
    job.configure(step(**{"at-most": "1s"}), "gate")
    process = job.start()
    job.wait_at_the_gate()
    process.send_signal(signal.SIGSTOP)
    eventually(lambda: not tables.sessions())
    assert tables.lets_write()
    job.go_on()
    process.send_signal(signal.SIGCONT)
    _, err = process.communicate()
    assert process.returncode != 0
    assert "guest db, quiesce: mysql" in err


def test_a_session_that_was_lost_fails_the_job(job, tables, step):
    job.configure(step(more="--reconnect", mode="read-lock"), "gate")
    process = job.start()
    job.wait_at_the_gate()
    [session] = tables.sessions()
    tables.sql(f"KILL {session}")
    job.go_on()
    _, err = process.communicate()
    assert process.returncode != 0
    assert "guest db, quiesce: mysql" in err


def test_a_lock_that_was_not_had_is_not_taken_for_one(job, tables, step):
    job.configure(step(more="--force --reconnect", **{"lock-wait": "1s"}))
    with tables.busy_with("INSERT INTO MyISAM SELECT SLEEP(600)"):
        done = job.site.call("run", "nightly")
        assert "Lock wait timeout exceeded" in done.stderr
        assert tables.lets_write()


def test_nobody_has_to_wait_behind_a_lock_that_waits_for_a_long_query(job, tables, step):
    job.configure(step(mode="read-lock", **{"long-query": "1s", "within": "1s"}))
    with tables.busy_with("INSERT INTO InnoDB SELECT SLEEP(600)", seconds=2):
        done = job.site.call("run", "nightly")
        assert done.returncode != 0
        assert "of root has been running for" in done.stderr
        assert tables.lets_write()


def test_a_password_is_told_to_nobody(job, step):
    job.configure(step())
    assert job.site.call("check", "nightly").returncode == 0
    told = job.run() + job.site.call("plan", "nightly").stdout
    journals = b"".join(path.read_bytes() for path in (job.site.folder / "state").rglob("*.jsonl"))
    assert "w0rd" not in told + journals.decode()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"more": "--socket=/nonexistent"}, "cannot be asked"),
        ({"user": "nobody-of-that-name"}, "Access denied"),
        ({"user": "plain", "password": ""}, "BINLOG MONITOR"),
        ({"password": "/no/such/file"}, "/no/such/file"),
    ],
)
def test_what_is_in_the_way_is_said_by_check(job, step, options, sentence):
    job.configure(step(**options))
    done = job.site.call("check", "nightly")
    assert done.returncode != 0
    assert sentence in done.stderr + done.stdout


@pytest.mark.parametrize("missing", ["RELOAD", "PROCESS", "BINLOG MONITOR"])
def test_each_right_that_is_missing_is_said_by_check(job, tables, step, missing):
    tables.sql(f"REVOKE {missing} ON *.* FROM backup@localhost")
    job.configure(step(mode="read-lock"))
    done = job.site.call("check", "nightly")
    tables.sql(f"GRANT {missing} ON *.* TO backup@localhost")
    assert done.returncode != 0
    assert missing in done.stderr + done.stdout


@pytest.mark.parametrize(
    "options", [{"connection": "--password=x1"}, {"connection": "-u me -px1"}, {"password": "x1"}]
)
def test_a_password_in_the_configuration_is_refused_without_telling_it(options):
    with pytest.raises(ValueError, match="not written") as refused:
        Options(**options)
    assert "x1" not in str(refused.value)
