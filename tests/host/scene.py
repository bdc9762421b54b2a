"""A job with applications to be made quiet, of which every part waits until a test has it go on."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .processes import children, runs, session

COPROCESS = (
    "touch {0}/quiet; echo made >> {0}/story; {1}; echo ready; cat; echo let go >> {0}/story; rm -f {0}/quiet"
)
WAIT = "touch {0}/{1}-reached; until test -e {0}/{1}; do sleep 0.01; done"
POINTS = ("freezing", "frozen", "snapshot", "thawing", "thawed")
"""Where a run can be killed: when the command that freezes has begun, and when it has done its work but has not ended;
while the snapshot is made; and the same with the command that lets go."""
WHILE_QUIET = POINTS[1:4]
GATED = """#!/bin/sh
gate() {{ touch {0}/$1-reached; until test -e {0}/$1; do sleep 0.01; done; }}
case $* in
  *--freeze*|*domfsfreeze*|*'lock: true'*|pause*) gate freezing; {1} || exit; gate frozen;;
  *--unfreeze*|*domfsthaw*|*fsyncUnlock*|unpause*) gate thawing; {2} || exit; gate thawed;;
  list*) echo 'Name ID Mem VCPUs State Time(s)'
         if test -e {0}/quiet; then echo 'web 1 900 1 --p--- 1.0'; else echo 'web 1 900 1 -b---- 1.0'; fi;;
esac
"""
LIMIT = 90.0
"Seconds after which what we wait for will not come."


@dataclass
class Scene:
    """A job whose guest has an application, and of which every part waits until it is told to go on."""

    site: object
    folder: Path

    @property
    def quiet(self) -> bool:
        return (self.folder / "quiet").exists()

    def wait(self, where: str) -> str:
        """Give a shell's line that waits for ``where``, which a test lets go on."""
        return WAIT.format(self.folder, where)

    def go_on(self, *where: str) -> None:
        for one in where:
            (self.folder / one).touch()

    def reached(self, where: str) -> bool:
        return eventually((self.folder / f"{where}-reached").exists)

    def script(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def program(self, name: str, text: str) -> Path:
        """Write a program that is the first of its name on holdstill's every path: in a mount namespace of its own."""
        folder = self.folder / "programs"
        if not folder.exists():
            folder.mkdir()
            argv = self.site.argv
            bind = f"mount --bind {folder} /usr/local/sbin && exec "
            self.site.argv = lambda *words: [
                "unshare",
                "--mount",
                "sh",
                "-c",
                bind + shlex.join(argv(*words)),
            ]
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
        return folder / name

    def gated(self, name: str, freeze: str = "touch {0}/quiet", thaw: str = "rm -f {0}/quiet") -> Path:
        """Write one that freezes and lets go, and waits at each point until it is told to go on."""
        return self.program(
            name, GATED.format(self.folder, *(text.format(self.folder) for text in (freeze, thaw)))
        )

    def start_up_to(self, point: str) -> subprocess.Popen[str]:
        """Start a run that goes on by itself up to a point."""
        self.go_on(*(other for other in POINTS if other != point))
        process = self.start()
        assert self.reached(point)
        return process

    def kill(self, process: subprocess.Popen[str], point: str) -> None:
        """Kill a run at a point; wait until all that it has started is at its end."""
        beside = children(process.pid)
        assert beside
        process.kill()
        process.communicate()
        self.go_on(point)
        assert eventually(lambda: not any(runs(one) for pid in beside for one in session(pid)))

    def configure(self, disk: Path, *quiesce: str) -> None:
        """Configure a job; the last step waits for «snapshot»: what comes before it is quiet meanwhile."""
        waits = self.script("waits", f"{self.wait('snapshot')}; echo ready; cat")
        last = f"coprocess: {{run: {waits}}}"
        steps = ", ".join([*quiesce, last])
        self.site.configure(
            f"guests: {{web: {{disks: [{disk}], quiesce: [{steps}], open: []}}}}\n"
            "jobs: {nightly: {guests: [web], backup: {command: {run: 'true'}}}}\n"
        )

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.site.argv("run", "nightly", "--json"),
            env=self.site.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self) -> tuple[int, dict[str, object]]:
        process = self.start()
        out, err = process.communicate(timeout=LIMIT)
        return process.returncode, json.loads(out) if out else {"sentence": err}

    def coprocess(self, more: str = "", *, before_ready: str = "true", before_letting_go: str = "") -> str:
        text = COPROCESS.format(self.folder, before_ready)
        text = text.replace("; cat;", f"; cat; {before_letting_go};" if before_letting_go else "; cat;")
        return f"coprocess: {{run: {self.script('application', text)}{more}}}"

    def commands(self, more: str = "", *, then: str = "true") -> str:
        before = self.script("before", f"touch {self.folder}/quiet; {then}")
        after = self.script("after", f"echo let go >> {self.folder}/story; rm -f {self.folder}/quiet")
        return f"before-and-after: {{before: {before}, after: {after}{more}}}"


def eventually(condition) -> bool:
    ends = time.monotonic() + LIMIT
    while not (met := condition()) and time.monotonic() < ends:
        time.sleep(0.01)
    return bool(met)
