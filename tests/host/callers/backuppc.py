"""A BackupPC of its own, as its own user: Debian's, with its folders in one of the test's."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .gate import LIMIT, eventually

USER = "backuppc"
PROGRAMS, SITE = Path("/usr/share/backuppc"), Path("/etc/backuppc")
ELSEWHERE = {
    str(PROGRAMS): "programs",
    str(SITE): "etc",
    "/var/lib/backuppc": "data",
    "/run/backuppc": "run",
}
"Debian's folders, which are written into the programs, and what they are called in ours."
OWN = """
$Conf{$_} = '' for qw(SmbClientPath NmbLookupPath SendmailPath SshPath PingPath Ping6Path SplitPath ParPath);
$Conf{WakeupSchedule} = [((localtime)[2] + 12) % 24];  # it does nothing by itself while a test runs
"""
PLAIN = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}


class BackupPC:
    """The server, and what a person does with its programs, as its user."""

    def __init__(self, folder: Path, *, host: str) -> None:
        self.folder = folder
        self.host = host
        for name in ("etc", "data/pc", "data/pool", "data/cpool", "data/log", "run"):
            (folder / name).mkdir(parents=True)
        for name in ("bin", "lib"):
            shutil.copytree(PROGRAMS / name, folder / "programs" / name)
        for path in filter(Path.is_file, (folder / "programs").rglob("*")):
            path.write_text(self._here(path.read_text()))
        (folder / "etc" / "config.pl").write_text(self._here((SITE / "config.pl").read_text()) + OWN)
        (folder / "etc" / "hosts").write_text(f"host dhcp user\n{host} 0 {USER}\n")

    def configure(self, text: str) -> None:
        """Write the host's configuration."""
        (self.folder / "etc" / f"{self.host}.pl").write_text(text)
        subprocess.run(["chown", "--recursive", f"{USER}:{USER}", self.folder], check=True)

    @contextmanager
    def served(self) -> Iterator[None]:
        """Have the server run for as long as the block lasts: it answers the other programs."""
        server = self.start("BackupPC")
        try:
            eventually(lambda: (self.folder / "run" / "BackupPC.sock").exists() or server.poll() is not None)
            assert server.poll() is None, self.log()
            yield
        finally:
            with_all_it_started = -server.pid
            os.kill(with_all_it_started, signal.SIGKILL)
            server.wait()

    def start(self, program: str, *words: str) -> subprocess.Popen[bytes]:
        """Start one of BackupPC's programs."""
        with (self.folder / "run" / f"{program}.out").open("ab") as out:
            return subprocess.Popen(
                [self.folder / "programs" / "bin" / program, *words],
                user=USER,
                group=USER,
                extra_groups=[],
                cwd="/",
                env=PLAIN,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def dump(self, how: str = "-f") -> int:
        """Back up; give the exit code."""
        return self.start("BackupPC_dump", "-v", how, self.host).wait(timeout=LIMIT)

    def backups(self) -> list[str]:
        """The kinds of all backups: ``full``, ``incr``, and ``partial`` where one was not finished."""
        path = self.folder / "data" / "pc" / self.host / "backups"
        return [line.split("\t")[1] for line in path.read_text().splitlines()] if path.exists() else []

    def restore(self, share: Path, into: Path) -> None:
        """Restore all of the last backup."""
        words = ["-h", self.host, "-n", "-1", "-s", str(share), "."]
        assert self.start("BackupPC_tarCreate", *words).wait(timeout=LIMIT) == 0
        into.mkdir()
        archive = self.folder / "run" / "BackupPC_tarCreate.out"
        subprocess.run(["tar", "-x", "-f", archive, "-C", into, "--numeric-owner"], check=True)

    def log(self) -> str:
        """All that BackupPC's programs have said."""
        return "".join(path.read_text() for path in (self.folder / "run").glob("BackupPC*.out"))

    def _here(self, text: str) -> str:
        for debians, ours in ELSEWHERE.items():
            text = text.replace(debians, str(self.folder / ours))
        return text
