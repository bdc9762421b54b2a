"""A job with applications to be made quiet, of which every part waits until a test has it go on."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

COPROCESS = (
    "touch {0}/quiet; echo made >> {0}/story; {1}; echo ready; cat; echo let go >> {0}/story; rm -f {0}/quiet"
)
WAIT = "touch {0}/{1}-reached; until test -e {0}/{1}; do sleep 0.01; done"
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
