"""Debian's own cluster of PostgreSQL, its data on one logical volume and its WAL on another, and a client."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..guest_disk import mounted, new_volume
from ..system import run, wait_until

HOME = Path("/var/lib/postgresql")
SETTINGS = next(Path("/etc/postgresql").glob("*/main"), Path("none/main"))
VERSION = SETTINGS.parent.name
UNIT = f"postgresql@{VERSION}-main"
LOG = Path(f"/var/log/postgresql/postgresql-{VERSION}-main.log")
# With so few buffers the files of the tables are written all the time, not only at a checkpoint.
LAB = "shared_buffers = 1MB\nautovacuum = off\nmin_wal_size = 32MB\nmax_wal_size = 64MB\n"
TABLE = """DROP TABLE IF EXISTS numbers;
CREATE TABLE numbers (n int PRIMARY KEY, word text, more text); CREATE INDEX ON numbers (word)"""
INSERT = "INSERT INTO numbers VALUES ({0}, md5('{0}'), repeat('x', 500)) RETURNING n;\n"
PSQL = (
    "runuser",
    "--user",
    "postgres",
    "--",
    "psql",
    "--no-psqlrc",
    "--quiet",
    "--no-align",
    "--tuples-only",
)


@contextmanager
def cluster(host_vg: str) -> Iterator[dict[str, Path]]:
    """Have the server run on its volumes; give them by name."""
    volumes = {name: new_volume(host_vg, name, "160M") for name in ("data", "wal")}
    for volume in volumes.values():
        run("mkfs.ext4", "-q", volume)
    (SETTINGS / "conf.d/lab.conf").write_text(LAB)
    with mounted(volumes["data"], Path("/mnt")):
        run("cp", "--archive", f"{HOME}/.", "/mnt")
    with mounted(volumes["data"], HOME), mounted(volumes["wal"], HOME / "wal"):
        data = HOME / VERSION / "main"
        run("mv", data / "pg_wal", HOME / "wal")
        (data / "pg_wal").symlink_to("../../wal/pg_wal")
        run("chown", "--recursive", "postgres:", HOME)
        start()
        try:
            yield volumes
        finally:
            run("systemctl", "stop", UNIT)


def start() -> None:
    """Start the server, which may have to recover first."""
    run("systemctl", "start", UNIT)
    wait_until(lambda: subprocess.run(["pg_isready", "--quiet"], check=False).returncode == 0, "it is ready")


def sql(text: str) -> str:
    """Ask the server."""
    return run(*PSQL, "--command", text).strip()


def restore(archive: Path) -> str:
    """Put the files of a backup in the place of all that is there, and start the server; give what it logs."""
    run("systemctl", "stop", UNIT)
    run("find", HOME / VERSION, HOME / "wal", "-mindepth", "1", "-delete")
    run("tar", "--extract", "--file", archive, "--directory", HOME)
    before = LOG.stat().st_size
    start()
    return LOG.read_text()[before:]


@dataclass
class Client:
    """Commits one row after the other, all the time."""

    waits: list[float] = field(default_factory=list)
    "Seconds until the server had confirmed each."

    def __post_init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._commit)

    def __enter__(self) -> Client:
        sql(TABLE)
        self._thread.start()
        self.goes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def confirmed(self) -> int:
        """The last row that the server has confirmed."""
        return len(self.waits)

    def goes_on(self) -> None:
        """Wait until it has committed some more."""
        enough = self.confirmed + 50
        wait_until(lambda: self.confirmed > enough, "the client goes on")

    def _commit(self) -> None:
        with subprocess.Popen(PSQL, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as psql:
            assert psql.stdin
            assert psql.stdout
            while not self._over.is_set():
                began = time.monotonic()
                psql.stdin.write(INSERT.format(self.confirmed + 1))
                psql.stdin.flush()
                assert psql.stdout.readline() == f"{self.confirmed + 1}\n"
                self.waits.append(time.monotonic() - began)
