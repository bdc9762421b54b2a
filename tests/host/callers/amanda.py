"""An Amanda of its own: server and client on this machine, with virtual tapes in a folder."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .gate import LIMIT

USER = "backup"
"Whom Debian has Amanda run as."
SITES = Path("/etc/amanda")
SCRIPTS = Path("/usr/lib/amanda/application")
CONFIGURATION = """
org "lab"
mailto ""
dumpuser "{user}"
tpchanger "chg-disk:{folder}/tapes"
labelstr "lab-[0-9]+"
autolabel "lab-%" any
tapetype virtual
tapecycle 2
runtapes 1
inparallel 1
logdir "{folder}/log"
infofile "{folder}/info"
indexdir "{folder}/index"
ctimeout 180
define tapetype virtual {{
    length 500 mbytes
}}
define dumptype ours {{
    auth "local"
    compress client custom
    client-custom-compress "{folder}/compress"
    index no
    holdingdisk never
    retry-dump 1
}}
"""


class Amanda:
    """What a person does with it, as its user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = f"holdstill-{os.getpid()}"
        for name in ("tapes/slot1", "tapes/slot2", "log", "info", "index", "lists"):
            (folder / name).mkdir(parents=True)

    @contextmanager
    def installed(self, *, script: str, configuration: str, disklist: str) -> Iterator[None]:
        """Have Amanda find its configuration, and our script, for as long as the block lasts."""
        own = CONFIGURATION.format(folder=self.folder, user=USER)
        self._write("amanda.conf", own + configuration)
        self._write("disklist", disklist)
        self._write("script", script, mode=0o755)
        self.compress_with("exec cat")
        subprocess.run(["chown", "--recursive", f"{USER}:{USER}", self.folder], check=True)
        with ExitStack() as stack:
            for link, target in (SITES / self.name, ""), (SCRIPTS / "holdstill-nightly", "script"):
                link.unlink(missing_ok=True)
                link.symlink_to(self.folder / target)
                stack.callback(link.unlink)
            yield

    def compress_with(self, command: str) -> None:
        """Let what is dumped pass through a command of the shell."""
        self._write("compress", f"#!/bin/sh\n{command}\n", mode=0o755)

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of Amanda's programs for our configuration."""
        return self.shell(f"exec {program} {' '.join(words)} {self.name}")

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line of the shell."""
        return subprocess.run(
            ["sh", "-c", line],
            user=USER,
            group=USER,
            extra_groups=[],
            cwd="/",
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT,
        )

    @contextmanager
    def dump_at_work(self) -> Iterator[Future[subprocess.CompletedProcess[str]]]:
        """Have amdump run beside the block."""
        with ThreadPoolExecutor() as pool:
            yield pool.submit(self.run, "amdump")

    def log(self) -> str:
        """All that Amanda's runs have logged."""
        return "".join(path.read_text() for path in (self.folder / "log").glob("log.*"))

    def dumps(self) -> list[str]:
        """What is on the tapes."""
        return [path.name for path in self.folder.glob("tapes/slot*/*nightly*")]

    def _write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
