"""A real Redis under load: what was written before the snapshot is in the file that it restores from."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdstill_plugins.redis import Options

from ..callers.gate import eventually
from .conftest import Writer, daemon

WORD = "w0rd-of-it"
SLOW = 1_000_000
"Microseconds for each key, so that saving does not come to an end."


class Server:
    """A server that listens at a socket in its own folder only, and saves when it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.socket = folder / "socket"
        self.log = folder / "log"
        self.dump = folder / "dump.rdb"
        self.pid = 0

    @contextmanager
    def running(self) -> Iterator[Server]:
        settings = self.folder / "redis.conf"
        settings.write_text(
            f'port 0\nunixsocket {self.socket}\ndir {self.folder}\nlogfile {self.log}\nsave ""\nappendonly no\n'
            f"requirepass {WORD}\nrdb-save-incremental-fsync yes\n"
        )
        with daemon("redis-server", settings, ready=self.answers, log=self.log) as self.pid:
            yield self

    @property
    def environment(self) -> dict[str, str]:
        return {"REDISCLI_AUTH": WORD}

    def ask(self, *words: object) -> str:
        argv = ["redis-cli", "-s", str(self.socket), *map(str, words)]
        done = subprocess.run(
            argv, env=os.environ | self.environment, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    def answers(self) -> bool:
        return self.ask("PING") == "PONG"

    @property
    def saves(self) -> bool:
        return "rdb_bgsave_in_progress:1" in self.ask("INFO", "persistence")

    @property
    def refused(self) -> bool:
        """Whether somebody's BGSAVE was refused, as one runs."""
        return (
            ",failed_calls=0"
            not in self.ask("INFO", "commandstats").partition("cmdstat_bgsave")[2].split()[0]
        )

    def end_saving(self) -> None:
        [child] = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGUSR1)  # which it does not count as a failure
        eventually(lambda: not self.saves)

    def writer(self) -> Writer:
        return Writer(["redis-cli", "-s", str(self.socket)], "RPUSH numbers {0}", self.environment)

    @property
    def numbers(self) -> list[int]:
        return [int(number) for number in self.ask("LRANGE", "numbers", 0, -1).split()]


@pytest.fixture(scope="module")
def running(volume) -> Iterator[Server]:
    with Server(volume.folder).running() as server:
        yield server


@pytest.fixture
def server(running) -> Iterator[Server]:
    yield running
    running.ask("CONFIG", "SET", "rdb-key-save-delay", 0)
    running.ask("CONFIG", "SET", "appendonly", "no")
    if running.saves:
        running.end_saving()
    running.ask("FLUSHALL")
    running.ask("CONFIG", "RESETSTAT")


@pytest.fixture
def step(job, server) -> str:
    secret = job.folder / "password"
    secret.write_text(f"{WORD}\n")
    secret.chmod(0o600)
    return f"redis: {{connection: -s {server.socket}, password: {secret}}}"


@contextmanager
def restored(job, place) -> Iterator[Server]:
    """The server as it is in the backup, running from its dump, with another folder."""
    server = Server(job.restored(place))
    if server.dump.exists():
        subprocess.run(["redis-check-rdb", server.dump], check=True, stdout=subprocess.DEVNULL)
    with server.running():
        yield server


@pytest.mark.parametrize("append_only", ["no", "yes"])
def test_what_was_written_before_is_in_the_dump(job, server, step, place, append_only):
    server.ask("CONFIG", "SET", "appendonly", append_only)
    job.configure(step)
    with server.writer() as writer:
        before = writer.confirmed
        job.run()
        after = writer.asked
    assert f"aof_enabled:{int(append_only == 'yes')}\n" in job.kept("redis")
    with restored(job, place) as restarted:
        numbers = restarted.numbers
        assert numbers == list(range(1, len(numbers) + 1))
        assert before <= len(numbers) <= after


def test_without_quiescing_the_dump_is_an_older_one(job, server, place):
    server.ask("RPUSH", "numbers", 1)
    server.ask("SAVE")
    server.ask("RPUSH", "numbers", 2)
    job.configure()
    job.run()
    with restored(job, place) as restarted:
        assert restarted.numbers == [1]


def test_one_that_is_saving_already_saves_once_more(job, server, step, place):
    server.ask("RPUSH", "numbers", 1)
    server.ask("CONFIG", "SET", "rdb-key-save-delay", SLOW * 600)
    server.ask("BGSAVE")
    server.ask("CONFIG", "SET", "rdb-key-save-delay", 0)
    server.ask("RPUSH", "numbers", 2)
    job.configure(step)
    process = job.start()
    eventually(lambda: server.refused)
    server.end_saving()
    assert process.communicate()[1] == ""
    with restored(job, place) as restarted:
        assert restarted.numbers == [1, 2]


def test_one_that_cannot_save_fails_the_job(job, server, step):
    server.dump.unlink(missing_ok=True)
    server.dump.mkdir()
    job.configure(step)
    done = job.site.call("run", "nightly")
    server.dump.rmdir()
    assert done.returncode != 0
    assert "could not save (BGSAVE)" in done.stderr


def test_one_that_does_not_save_in_time_fails_the_job(job, server, step):
    server.ask("RPUSH", "numbers", 1)
    server.ask("CONFIG", "SET", "rdb-key-save-delay", SLOW * 600)
    job.configure(step.replace("}", ", within: 1s}"))
    done = job.site.call("run", "nightly")
    assert done.returncode != 0
    assert "did not save in time" in done.stderr


@pytest.mark.parametrize("point", ["before", "quiet", "letting go"])
def test_the_server_goes_on_when_holdstill_is_killed(job, server, step, point):
    job.kill(point, step, server.pid)
    assert server.ask("RPUSH", "numbers", 1) == "1"
    assert not server.saves
    assert job.site.call("recover").returncode == 0


def test_the_server_goes_on_when_holdstill_is_killed_while_it_waits(job, server, step):
    server.ask("RPUSH", "numbers", 1)
    server.ask("CONFIG", "SET", "rdb-key-save-delay", SLOW * 5)
    job.configure(step.replace("}", ", within: 10m}"))
    job.kill_once(lambda: server.saves)
    assert server.ask("RPUSH", "numbers", 2) == "2"
    eventually(lambda: not server.saves)
    assert "rdb_last_bgsave_status:ok" in server.ask("INFO", "persistence")
    assert job.site.call("recover").returncode == 0


def test_a_password_is_told_to_nobody(job, step):
    job.configure(step)
    assert job.site.call("check", "nightly").returncode == 0
    told = job.run() + job.site.call("plan", "nightly").stdout
    journals = b"".join(path.read_bytes() for path in (job.site.folder / "state").rglob("*.jsonl"))
    assert WORD not in told + journals.decode()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("connection: -s /nonexistent", "Could not connect"),
        ("connection: -s {}", "NOAUTH"),
        ("connection: -s {}, password: /no/such/file", "/no/such/file"),
    ],
)
def test_what_is_in_the_way_is_said_by_check(job, server, options, sentence):
    job.configure(f"redis: {{{options.format(server.socket)}}}")
    done = job.site.call("check", "nightly")
    assert done.returncode != 0
    assert sentence in done.stderr + done.stdout


@pytest.mark.parametrize(
    "options",
    [{"connection": "-a x1"}, {"connection": "-u redis://me:x1@there"}, {"password": "x1"}],
)
def test_a_password_in_the_configuration_is_refused_without_telling_it(options):
    with pytest.raises(ValueError, match="not written") as refused:
        Options(**options)
    assert "x1" not in str(refused.value)
