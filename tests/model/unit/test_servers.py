"""Plugins that quiesce servers: what they ask for where the tool, or the server, is not the one that tests have."""

from __future__ import annotations

import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from holdstill.plugin import Answer, Role, RunInfo, Step
from holdstill_plugins import mongodb, mysql, postgresql, redis, sqlite


class WithoutTools:
    """A host on which nothing is installed."""

    def installed(self, _tool):
        return False


class WithServer:
    """A host whose server says what version it is, and nothing else."""

    def __init__(self, version):
        self.version = version

    def installed(self, tool):
        return tool == "mysql"

    def ask(self, *argv, **_):
        assert argv[0] == "mysql"
        return Answer(argv, 0, out=self.version)


class Session:
    """One in which a server answers with these lines."""

    def __init__(self, *lines):
        self.told = []
        self.lines = iter(lines)

    def tell(self, line):
        self.told.append(line)

    def hear(self, _within):
        return next(self.lines)


def server(version, mode="best"):
    options = mysql.Options(mode=mode)
    step = Step(plugin="mysql", role=Role.QUIESCE, options=options, run=RunInfo(id="r", job="j", trees="/t"))
    return mysql.Server(step, WithServer(version))


@pytest.mark.parametrize(
    ("plugin", "package"),
    [(mysql, "mariadb-client"), (postgresql, "postgresql-client"), (redis, "redis-tools")],
)
def test_a_missing_client_is_told_with_its_package(plugin, package):
    [complaint] = plugin.holdstill_check(steps=(), host=WithoutTools())
    assert f"apt-get install {package}" in complaint.sentence


@pytest.mark.parametrize(
    ("version", "way", "position"),
    [
        ("11.4.2-MariaDB-ubu2404-log", mysql.STAGES, "SHOW MASTER STATUS"),
        ("8.0.36-0ubuntu0.22.04.1", mysql.READ_LOCK, "SHOW MASTER STATUS"),
        ("8.4.0", mysql.READ_LOCK, "SHOW BINARY LOG STATUS"),
    ],
)
def test_each_server_is_held_and_asked_in_its_own_words(version, way, position):
    asked = server(version)
    assert asked.way is way
    assert asked.position[0] == position


def test_the_position_of_mysql_is_kept_with_its_gtids_on_one_line():
    session = Session("binlog.000003\t157\t\t\taaaa-1:1-5,\\nbbbb-2:1-7", "let go")
    position = mysql._let_go(session, server("8.0.36"))
    assert position == "file: binlog.000003\nposition: 157\ngtid: aaaa-1:1-5,bbbb-2:1-7\n"
    assert session.told == ["SHOW MASTER STATUS;", "UNLOCK TABLES;", "SELECT 'let go';"]


def test_a_server_that_answers_slowly_has_one_time_for_all_its_lines(monkeypatch):
    limits, clock = [], iter((0, 0, 20, 40))

    class Slow(Session):
        def hear(self, within):
            limits.append(within)
            return super().hear(within)

    monkeypatch.setattr(mysql, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    mysql._let_go(Slow("binlog.000003\t157\t\t", "gtid\t0-1-7", "let go"), server("10.11.9-MariaDB"))
    assert limits == [45, 25, 5]


def test_a_server_without_a_binary_log_has_no_position():
    assert not mysql._let_go(Session("gtid\t", "let go"), server("10.11.9-MariaDB"))


@pytest.mark.parametrize(
    ("version", "mode", "sentence"),
    [("10.4.34-MariaDB", "best", "older than MariaDB 10.5"), ("8.0.36", "backup-stage", "mode: read-lock")],
)
def test_a_server_that_cannot_be_held_like_that_is_told(version, mode, sentence):
    assert sentence in mysql._refuses(server(version, mode), mode)


def test_innodbs_log_is_waited_for_until_what_was_committed_is_on_the_disk():
    session = Session("500", "300", "499", "500")
    paused = []

    class Host:
        def pause(self, seconds):
            paused.append(seconds)

    mysql._wait_for_the_log(session, time.monotonic() + 600, Host())
    assert len(paused) == 2


@pytest.mark.parametrize(
    "connection",
    [
        *("--password=x1", "--pas x1", "-px1", "-u me -p", "--loose-password=x1", "--loose_password=x1"),
        *("-Cpx1", "-ABpx1", "--enable-pass=x1", "--maximum_password=x1"),
    ],
)
def test_a_password_among_the_options_of_mysqls_client_is_refused_without_telling_it(connection):
    refused(mysql.Options, connection)


@pytest.mark.parametrize(
    "connection",
    [
        *("-h cache -a x1", "--pass x1", "-u redis://me:x1@cache", "-u redis://me:x1/x1@cache"),
        *("-u redis://:x1@cache", "-u redis://x1@cache", "-u rediss://me:x@1@cache/0"),
    ],
)
def test_a_password_among_the_options_of_rediss_client_is_refused_without_telling_it(connection):
    refused(redis.Options, connection)


@pytest.mark.parametrize(
    "connection", ["mongodb://me:x1@db/", "mongodb+srv://x1@db", "mongodb://me:x1/x1@db"]
)
def test_a_password_in_a_uri_of_mongodbs_is_refused_without_telling_it(connection):
    refused(mongodb.Options, connection)


@pytest.mark.parametrize("options", [{"user": "backup"}, {"password": "env:WORD"}])
def test_a_user_of_mongodbs_needs_a_password(options):
    with pytest.raises(ValueError, match="'user' and 'password' need each other"):
        mongodb.Options(**options)


@pytest.mark.parametrize("connection", ["postgresql://me:x1/x1@db/app", "postgresql:///app?password=x1"])
def test_a_password_in_a_uri_of_postgresqls_is_refused_without_telling_it(connection):
    refused(postgresql.Options, connection)


def refused(options, connection):
    with pytest.raises(ValueError, match="not written in 'connection'") as error:
        options(connection=connection)
    assert "x1" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "connection"),
    [
        (mysql.Options, "-hprimary -upaul -P3306 --port=3306 --protocol=tcp --skip-password -S /run/p.sock"),
        (mysql.Options, "--ssl-ca=/etc/ssl/pas.pem --plugin-dir=/usr/lib/p -CDapp"),
        (redis.Options, "-h cache --user backup --tls -u rediss://cache:6379/0"),
        (mongodb.Options, "mongodb://db-1:27017,db-2/?tls=true&appName=back@up"),
        (postgresql.Options, "postgresql://me@db:5432/app"),
    ],
)
def test_where_a_server_is_and_who_asks_it_may_be_written(options, connection):
    assert options(connection=connection).connection == connection


def test_the_databases_of_a_step_have_one_time_to_be_waited_for_and_one_to_start(monkeypatch):
    clock = iter((100, 100, 120))
    started = []

    class Host:
        @contextmanager
        def companion(self, *argv, limit, at_most):
            del at_most
            started.append((*argv[-2:], limit))
            yield

        def run(self, *_, **__):
            pass

    monkeypatch.setattr(sqlite, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    options = sqlite.Options(paths=["/one.db", "/two.db"])
    step = Step(plugin="sqlite", role=Role.QUIESCE, options=options, run=RunInfo(id="r", job="j", trees="/t"))
    with sqlite.holdstill_quiesce(step, None, Host()):
        pass
    assert started == [("/one.db", "160.000", 90), ("/two.db", "160.000", 70)]
