"""A Bacula of its own: director, storage and file daemon in a folder, with an empty catalogue."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from signal import SIGSTOP
from typing import Any, NamedTuple

from ...ports import free_ports
from .gate import LIMIT, eventually

SCHEMA = Path("/usr/share/dbconfig-common/data/bacula-director-sqlite3/install/sqlite3")
DIRECTOR = """
Director {{
  Name = lab-dir
  DirAddress = {address}
  DIRport = {director}
  Password = secret
  QueryFile = /dev/null
  WorkingDirectory = {folder}
  PidDirectory = {folder}
  Messages = Standard
  Maximum Concurrent Jobs = 4
}}
Catalog {{ Name = MyCatalog; dbname = bacula; dbuser = ""; dbpassword = "" }}
Messages {{ Name = Standard; append = {folder}/log = all, !skipped; catalog = all, !skipped }}
Client {{ Name = {client}; Address = {address}; FDPort = {file}; Catalog = MyCatalog; Password = secret }}
Storage {{ Name = File1; Address = {address}; SDPort = {storage}; Device = Files; MediaType = File; Password = secret }}
Pool {{ Name = File; PoolType = Backup; LabelFormat = Vol- }}
FileSet {{ Name = "Full Set"; Include {{ File = /etc/hostname }} }}
JobDefs {{
  Name = DefaultJob
  Type = Backup
  Level = Full
  Client = {client}
  FileSet = "Full Set"
  Storage = File1
  Pool = File
  Messages = Standard
}}
Job {{ Name = Restore; JobDefs = DefaultJob; Type = Restore; Where = {folder}/restored }}
{jobs}
"""
FILE = """
FileDaemon {{
  Name = {client}
  FDAddress = {address}
  FDport = {file}
  WorkingDirectory = {folder}
  PidDirectory = {folder}
}}
Director {{ Name = lab-dir; Password = secret }}
Messages {{ Name = Standard; director = lab-dir = all, !skipped, !restored }}
"""
STORAGE = """
Storage {{
  Name = lab-sd
  SDAddress = {address}
  SDPort = {storage}
  WorkingDirectory = {folder}
  PidDirectory = {folder}
}}
Director {{ Name = lab-dir; Password = secret }}
Device {{
  Name = Files
  MediaType = File
  ArchiveDevice = {folder}
  LabelMedia = yes
  RandomAccess = yes
  AutomaticMount = yes
  RemovableMedia = no
  AlwaysOpen = no
}}
Messages {{ Name = Standard; director = lab-dir = all }}
"""
CONSOLE = "Director {{ Name = lab-dir; Address = {address}; DIRport = {director}; Password = secret }}\n"
PLAIN = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
"The environment that systemd gives its services."
OVER = {"T", "W", "E", "e", "f", "A"}
"Statuses of jobs that have ended: well, with warnings, in error, fatally, cancelled."


class Result(NamedTuple):
    """What the catalogue says of a job."""

    status: str
    "T: ended well. E, e, f: failed. A: cancelled."
    files: int


class Network(NamedTuple):
    """Where the daemons are: on this machine's loopback interface, if not said otherwise."""

    address: str = "127.0.0.1"
    enter: tuple[str, ...] = ()
    "The words that have a program run there."
    sockets: Path = Path("/proc/net/tcp")


LOOPBACK = Network()


class Bacula:
    """The three daemons, and what a person does with their console."""

    def __init__(self, folder: Path, *, client: str, jobs: str, network: Network = LOOPBACK) -> None:
        self.folder = folder
        self.client = client
        self._network = network
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        words = {
            "folder": folder,
            "client": client,
            "jobs": jobs,
            "address": network.address,
            **dict(zip(("director", "file", "storage"), free_ports(3), strict=True)),
        }
        texts = {"dir": DIRECTOR, "fd": FILE, "sd": STORAGE, "console": CONSOLE}
        for name, text in texts.items():
            self.configuration(name).write_text(text.format(**words))
        self._ports = {"dir": words["director"], "fd": words["file"], "sd": words["storage"]}
        with closing(sqlite3.connect(folder / "bacula.db")) as catalogue:
            catalogue.executescript(SCHEMA.read_text())

    def start(self, *names: str) -> None:
        """Start daemons, and wait until they listen."""
        for name in names:
            self._processes[name] = self._launch(name)
        for name in names:
            eventually(lambda name=name: self._runs(name) and self.listens(name))

    def listens(self, name: str) -> bool:
        """Tell whether a daemon can be connected to."""
        return f":{self._ports[name]:04X} 00000000:0000 0A " in self._network.sockets.read_text()

    def hang(self, name: str) -> None:
        """Have a daemon do nothing any more, until it is killed."""
        self._processes[name].send_signal(SIGSTOP)

    def kill(self, *names: str) -> None:
        """End daemons as the OOM killer would."""
        for name in names:
            if process := self._processes.pop(name, None):
                process.kill()
                process.wait()

    def console(self, *lines: str) -> str:
        """Type lines into bconsole; give what it prints."""
        argv = [*self._network.enter, "/usr/sbin/bconsole", "-n", "-c", self.configuration("console")]
        done = subprocess.run(
            argv, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=LIMIT, check=True
        )
        return done.stdout

    def start_job(self, name: str) -> int:
        """Start a job; give its id."""
        said = self.console(f'run job="{name}" yes')
        return int(said.split("JobId=")[1].split()[0])

    def cancel(self, job: int) -> None:
        """Cancel a job."""
        self.console(f"cancel jobid={job} yes")

    def end_of(self, job: int) -> Result:
        """Wait for a job's end."""
        eventually(lambda: self._result(job).status in OVER, pause=0.2)
        return self._result(job)

    def run(self, name: str) -> Result:
        """Run a job to its end."""
        return self.end_of(self.start_job(name))

    def restore(self, job: int, client: str = "") -> Path:
        """Restore all that a job of that client has backed up; give the folder it is in, on the client's host."""
        before = self._last_job()
        self.console(f"restore jobid={job} client={client or self.client} all done yes")
        assert self.end_of(before + 1).status == "T", self.log()
        return self.folder / "restored"

    def log(self) -> str:
        """All that the jobs said."""
        return (self.folder / "log").read_text()

    def configuration(self, name: str) -> Path:
        """The file with a daemon's configuration."""
        return self.folder / f"{name}.conf"

    def _launch(self, name: str) -> subprocess.Popen[bytes]:
        argv = [*self._network.enter, f"/usr/sbin/bacula-{name}", "-f", "-c", self.configuration(name)]
        with self._output(name).open("wb") as out:
            return subprocess.Popen(
                argv, env=PLAIN, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT
            )

    def _output(self, name: str) -> Path:
        return self.folder / f"{name}.out"

    def _last_job(self) -> int:
        [[last]] = self._ask("SELECT max(JobId) FROM Job")
        return int(last)

    def _result(self, job: int) -> Result:
        found = self._ask("SELECT JobStatus, JobFiles FROM Job WHERE JobId = ?", job)
        return Result(*found[0]) if found else Result("", 0)

    def _ask(self, query: str, *values: int) -> list[tuple[Any, ...]]:
        with closing(
            sqlite3.connect(f"file:{self.folder}/bacula.db?mode=ro", uri=True, timeout=60)
        ) as catalogue:
            return catalogue.execute(query, values).fetchall()

    def _runs(self, name: str) -> bool:
        assert self._processes[name].poll() is None, self._output(name).read_text()
        return True
