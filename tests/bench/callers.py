"""«make bench-callers»: what ``pre`` and ``post`` add to a job, beyond the commands that they run on the storage.

A guest in an image file is held, as a process and by backup software. In the software's own job, what is added is the
time of a job with our hooks, less that of one whose hooks are «true» while the guest is held already, less that of our
commands on the storage. Nothing is asserted.
"""

from __future__ import annotations

import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.host.callers.bacula import Bacula

from holdstill.testing.disks import make_guest_disk
from holdstill.testing.trees import fstab, populate

ROUNDS = 5
MIB = 1 << 20
CONFIGURATION = """
guests:
  web: {{disks: [{folder}/web.img]}}
jobs:
  nightly: {{guests: [web]}}
"""
RSNAPSHOT = """config_version\t1.2
snapshot_root\t{folder}/snapshots/
cmd_rm\t/bin/rm
cmd_rsync\t/usr/bin/rsync
cmd_preexec\t{before}
cmd_postexec\t{after}
retain\talpha\t2
backup\t{folder}/nightly\tguests/\trsync_short_args=-aHAX
"""
BORGMATIC = """
source_directories: ["{trees}"]
repositories: [{{path: "{folder}/borg"}}]
relocated_repo_access_is_ok: true
unknown_unencrypted_repo_access_is_ok: true
borg_base_directory: "{folder}"
user_runtime_directory: "{folder}"
user_state_directory: "{folder}"
commands:
  - {{before: action, when: [create], run: ["{before}"]}}
  - {{after: action, when: [create], run: ["{after}"]}}
"""
FILES = "FileSet {{ Name = web; Include {{ Options {{ onefs = no }}; File = {trees} }} }}"
BACULA = """
Job {{
  Name = {name}; JobDefs = DefaultJob; FileSet = web
  RunScript {{ RunsWhen = Before; RunsOnClient = yes; Command = "{before}" }}
  RunScript {{ RunsWhen = After; RunsOnClient = yes; Command = "{after}" }}
}}
"""


class Bench:
    """A guest, and a holdstill that writes down how long its commands take."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trees = folder / "trees" / "nightly"
        self._told = folder / "seconds"
        places = [f"--{name}={folder / name}" for name in ("config", "state", "trees", "plugins")]
        self._words = [sys.executable, str(Path(__file__).with_name("clocked.py")), str(self._told), *places]
        (folder / "config").write_text(CONFIGURATION.format(folder=folder))
        make_disk(folder)

    def hook(self, command: str) -> str:
        """Give the line that holds, or lets go of, the guest."""
        return shlex.join([*self._words, command, "nightly"])

    def words(self, *, with_hooks: bool) -> dict[str, object]:
        """Give what goes into a caller's configuration."""
        before, after = (self.hook("pre"), self.hook("post")) if with_hooks else ("/bin/true", "/bin/true")
        return {"folder": self.folder, "trees": self.trees, "before": before, "after": after}

    def clock(self, job: Callable[[], object]) -> tuple[float, float]:
        """Give how many seconds something takes, and how many of them our commands took."""
        self._told.write_text("")
        began = time.perf_counter()
        job()
        spent = time.perf_counter() - began
        return spent, sum(map(float, self._told.read_text().split()))

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the guest meanwhile."""
        call(self.hook("pre"))
        yield
        call(self.hook("post"))

    def compare(self, bare: Callable[[], object], hooked: Callable[[], object]) -> tuple[float, ...]:
        """Give the median seconds of a job without our hooks, with them, and of our commands in it."""
        rounds = []
        for _ in range(ROUNDS + 1):
            with self.held():
                without, _ = self.clock(bare)
            rounds.append((without, *self.clock(hooked)))
        return medians(rounds[1:])


def main() -> None:
    """Measure, and print two tables; columns are medians, in milliseconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bench = Bench(folder)
        print(f"{'':<24}{'whole':>10}{'commands':>10}{'beyond':>10}{'cpu':>10}")
        for command, spent, commands, cpu in of_processes(bench):
            print(f"{command:<24}{spent:>10.0f}{commands:>10.0f}{spent - commands:>10.0f}{cpu:>10.0f}")
        print(f"\n{'the job of':<24}{'no hooks':>10}{'hooks':>10}{'commands':>10}{'beyond':>10}")
        for caller, jobs in (("rsnapshot", rsnapshot), ("borgmatic", borgmatic), ("Bacula", bacula)):
            with jobs(bench) as (bare, hooked):
                without, spent, commands = (1000 * seconds for seconds in bench.compare(bare, hooked))
            row = (without, spent, commands, spent - without - commands)
            print(f"{caller:<24}" + "".join(f"{figure:>10.0f}" for figure in row), flush=True)


def of_processes(bench: Bench) -> Iterator[tuple[str, float, float, float]]:
    """Measure ``pre`` and ``post`` by themselves; their processors' time, too, which other work hardly prolongs."""
    rounds = [[clocked(bench, command) for command in ("pre", "post")] for _ in range(ROUNDS + 1)]
    for command, column in zip(("pre", "post"), zip(*rounds[1:], strict=True), strict=True):
        spent, commands, cpu = (1000 * seconds for seconds in medians(column))
        yield command, spent, commands, cpu


def clocked(bench: Bench, command: str) -> tuple[float, float, float]:
    """Give how many seconds a process takes, its commands, and the processors that worked for either."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent, commands = bench.clock(lambda: call(bench.hook(command)))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent, commands, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


Jobs = Iterator[tuple[Callable[[], object], Callable[[], object]]]


@contextmanager
def rsnapshot(bench: Bench) -> Jobs:
    """Have jobs of rsnapshot, without and with our hooks."""
    (bench.folder / "nightly").symlink_to(bench.trees)  # rsnapshot insists on something there before it holds
    jobs = []
    for with_hooks in (False, True):
        path = bench.folder / f"rsnapshot-{with_hooks}.conf"
        path.write_text(RSNAPSHOT.format(**bench.words(with_hooks=with_hooks)))
        jobs.append(f"rsnapshot -c {path} alpha")
    yield lambda: call(jobs[0]), lambda: call(jobs[1])


@contextmanager
def borgmatic(bench: Bench) -> Jobs:
    """Have jobs of borgmatic."""
    call(f"borg init --encryption=none {bench.folder}/borg")
    jobs = []
    for with_hooks in (False, True):
        path = bench.folder / f"borgmatic-{with_hooks}.yaml"
        path.write_text(BORGMATIC.format(**bench.words(with_hooks=with_hooks)))
        jobs.append(f"{Path(sys.executable).with_name('borgmatic')} --config {path} create")
    yield lambda: call(jobs[0]), lambda: call(jobs[1])


@contextmanager
def bacula(bench: Bench) -> Jobs:
    """Have jobs of Bacula."""
    folder = bench.folder / "bacula"
    folder.mkdir()
    jobs = "".join(
        BACULA.format(name=name, **bench.words(with_hooks=name == "hooked")) for name in ("bare", "hooked")
    )
    server = Bacula(folder, client="here-fd", jobs=FILES.format(trees=bench.trees) + jobs)
    try:
        server.start("sd", "fd", "dir")
        yield lambda: well(server, "bare"), lambda: well(server, "hooked")
    finally:
        server.kill("sd", "fd", "dir")


def well(server: Bacula, job: str) -> None:
    """Run a job that is to succeed."""
    if server.run(job).status != "T":
        sys.exit(server.log())


def make_disk(folder: Path) -> None:
    """Make the guest's disk."""
    populate(folder / "root", files=200, name="web", table=fstab("web", volumes=("root", "swap")))
    (folder / "boot").mkdir()
    make_guest_disk(folder / "web.img", tree=folder / "root", boot=folder / "boot", size=64 * MIB, name="web")


def call(command: str) -> None:
    """Run a command that is to succeed."""
    done = subprocess.run(
        shlex.split(command), check=False, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        sys.exit(f"{command} ended with {done.returncode}: {done.stderr}")


def medians(rounds: Iterable[tuple[float, ...]]) -> tuple[float, ...]:
    """Give the median of each column."""
    return tuple(map(statistics.median, zip(*rounds, strict=True)))


if __name__ == "__main__":
    main()
