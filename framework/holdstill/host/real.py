"""The real machine."""

from __future__ import annotations

import errno
import math
import os
import shlex
import shutil
import stat
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import structlog

from holdstill.errors import StorageError
from holdstill.host import Answer, Companion, Holder, Node, NodeKind
from holdstill.host.alone import alone_with
from holdstill.host.beneath import open_beneath, read_beneath
from holdstill.host.command import ENVIRONMENT, run_command
from holdstill.host.companion import Piped, companion, stay_beside
from holdstill.host.ends import wait_for_an_end
from holdstill.host.failures import CommandFailedError
from holdstill.host.holders import holders
from holdstill.host.interruption import Interruption
from holdstill.host.orphans import MARK, commands_of
from holdstill.places import Places

log = structlog.get_logger()

LOCKS = Places().locks
DEVICES = Path("/sys/dev/block")
GONE = {errno.ENOENT, errno.ENODEV}
"What the kernel says of a device that it does not have, or takes away at this moment."


class _Kept(threading.local):
    """Descriptors that commands of this thread inherit: several guests are opened at once."""

    descriptors: tuple[int, ...] = ()


class RealHost:
    """Runs commands for real, and stops between two of them when a signal asks for it."""

    def __init__(self, interruption: Interruption | None = None, locks: Path = LOCKS) -> None:
        self.interruption = interruption or Interruption()
        self._locks = locks
        self._kept = _Kept()
        self._mark: dict[str, str] = {}
        self._beside: dict[tuple[str, ...], Piped] = {}
        self._one_at_a_time = threading.Lock()

    def ask(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        deadline: float = 60,
        env: Mapping[str, str] | None = None,
    ) -> Answer:
        """See :meth:`holdstill.host.Host.ask`."""
        return self.run(*argv, ok=ok, deadline=deadline, env=env)

    def run(
        self,
        *argv: str,
        ok: Sequence[int] = (0,),
        deadline: float = 300,
        planned: str = "",
        env: Mapping[str, str] | None = None,
        watch: Callable[[str], None] | None = None,
    ) -> Answer:
        """See :meth:`holdstill.host.Host.run`."""
        del planned  # for plans only
        log.debug("run", command=shlex.join(argv))
        answer = run_command(
            argv,
            deadline=deadline,
            interruption=self.interruption,
            env={**self._mark, **(env or {})},
            keep=self._kept.descriptors,
            watch=watch,
        )
        if answer.status not in ok:
            raise CommandFailedError(answer)
        return answer

    @contextmanager
    def companion(
        self,
        *argv: str,
        limit: float = 30,
        at_most: float = math.inf,
        told: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> Iterator[Companion]:
        """See :meth:`holdstill.host.Host.companion`."""
        self.interruption.check()
        log.debug("companion", command=shlex.join(argv))
        with companion(
            argv,
            limit=limit,
            at_most=at_most,
            told=told,
            env={**self._mark, **(env or {})},
            interruption=self.interruption,
        ) as beside_us:
            yield beside_us

    def beside(self, *argv: str) -> Companion:
        """See :meth:`holdstill.host.Host.beside`."""
        with self._one_at_a_time:
            there = self._beside.get(argv)
            if there is None or not there.runs:
                log.debug("beside us from now on", command=shlex.join(argv))
                there = self._beside[argv] = stay_beside(argv, env=self._mark)
            return there

    def shielded(self) -> AbstractContextManager[None]:
        """See :meth:`holdstill.host.Host.shielded`."""
        return self.interruption.shield()

    @contextmanager
    def alone_with(self, *disks: str, within: float = 60) -> Iterator[None]:
        """See :meth:`holdstill.host.Host.alone_with`."""
        within = self.interruption.cut(within)
        with alone_with(self._locks, map(self._identity, disks), within, self._pause_unless_stopped):
            yield

    def _identity(self, disk: str) -> str:
        node = self.look(disk)
        return node.number if node and node.number else os.path.realpath(disk)

    def _pause_unless_stopped(self, seconds: float) -> None:
        self.interruption.check()
        self.pause(seconds)

    def look(self, path: str) -> Node | None:
        """See :meth:`holdstill.host.Host.look`."""
        try:
            found = Path(path).stat()
        except (OSError, ValueError):  # not there, or no path at all
            return None
        kind = _kind(found.st_mode)
        if kind is not NodeKind.BLOCK:
            return Node(kind=kind, size=found.st_size, changed=max(found.st_mtime_ns, found.st_ctime_ns))
        number = f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}"
        size = _capacity(number)
        return None if size is None else Node(kind=kind, size=size, number=number)

    def read(self, path: str) -> str:
        """See :meth:`holdstill.host.Host.read`."""
        return Path(path).read_text(encoding="utf-8", errors="replace")

    def write(self, path: str, content: str) -> None:
        """See :meth:`holdstill.host.Host.write`."""
        try:
            Path(path).write_text(content, encoding="utf-8")
            Path(path).chmod(0o644)
        except OSError as error:
            raise StorageError(f"{path} cannot be written: {error.strerror}.") from None

    def started_for(self, run: str) -> None:
        """See :meth:`holdstill.host.Host.started_for`."""
        self._mark = {MARK: run}

    def still_running(self, run: str, session: int) -> list[int]:
        """See :meth:`holdstill.host.Host.still_running`."""
        return commands_of(run, session)

    def pause(self, seconds: float, *, until: Sequence[int] = ()) -> float:
        """See :meth:`holdstill.host.Host.pause`."""
        return wait_for_an_end(until, seconds)

    def holders(self, places: Sequence[str]) -> tuple[Holder, ...]:
        """See :meth:`holdstill.host.Host.holders`."""
        return holders(places)

    @contextmanager
    def beneath(self, root: str, path: str) -> Iterator[str]:
        """See :meth:`holdstill.host.Host.beneath`."""
        with open_beneath(root, path) as descriptor:
            before = self._kept.descriptors
            self._kept.descriptors = (*before, descriptor)
            try:
                yield f"/proc/self/fd/{descriptor}"
            finally:
                self._kept.descriptors = before

    def read_beneath(self, root: str, path: str) -> str | None:
        """See :meth:`holdstill.host.Host.read_beneath`."""
        return read_beneath(root, path)

    def installed(self, tool: str) -> bool:
        """See :meth:`holdstill.host.Host.installed`."""
        return shutil.which(tool, path=ENVIRONMENT["PATH"]) is not None


def _kind(mode: int) -> NodeKind:
    kinds = {stat.S_IFREG: NodeKind.FILE, stat.S_IFDIR: NodeKind.FOLDER, stat.S_IFBLK: NodeKind.BLOCK}
    return kinds.get(stat.S_IFMT(mode), NodeKind.OTHER)


def _capacity(number: str) -> int | None:
    """Size of a block device, without opening it: an open of ours could be the one that makes it busy.

    ``None`` if there is no such device: its node may have stayed behind.
    """
    try:
        return 512 * int((DEVICES / number / "size").read_text())
    except OSError as error:
        if error.errno not in GONE or not DEVICES.is_dir():
            raise
        return None
