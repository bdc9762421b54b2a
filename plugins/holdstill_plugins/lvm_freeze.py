"""Keep several origins from being written to, until each has its snapshot.

Snapshots that are made one after the other are torn: what the guest writes to its disks in turn is in one and not
in the other. So all origins are suspended first; each lvcreate resumes its own when it is done.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from holdstill.plugin import Hold, Host, SnapshotError
from holdstill_plugins import lvm_watch
from holdstill_plugins.lvm_names import map_name

LONGEST = 15
"Seconds for each origin after which the watchdog resumes them all, whatever has become of us."
DEADLINE = 30.0
"Seconds for one command: to freeze, or to let go, may take a minute in all."


@contextmanager
def ready_to_freeze(origins: list[str], hold: Hold, host: Host) -> Iterator[AbstractContextManager[None]]:
    """Get ready to suspend origins (``VG/LV`` each); give what suspends them while their snapshots are made inside.

    Thick ones only: a thin origin that is suspended beforehand breaks its pool's transaction.
    """
    maps, longest = [map_name(origin) for origin in origins], LONGEST * len(origins)
    lvm_watch.get_ready(host)
    promised = hold.promise(
        f"{', '.join(origins)} suspended", by_hand=f"dmsetup resume {shlex.join(maps)}", suspended=maps
    )
    yield _frozen(maps, longest, host)
    hold.undone(promised)


@contextmanager
def _frozen(maps: list[str], longest: float, host: Host) -> Iterator[None]:
    """Suspend maps, for less than ``longest`` seconds.

    Raises SnapshotError if it took so long that the watchdog has resumed them: the snapshots may be torn.
    """
    lvm_watch.begin(host, maps[0], maps, longest)
    began = time.monotonic()
    try:
        host.run("dmsetup", "suspend", "--nolockfs", *maps, deadline=DEADLINE)
        yield
    finally:
        host.run("dmsetup", "resume", *maps, deadline=DEADLINE)
        lvm_watch.end(host, maps[0])
    if time.monotonic() - began > longest:
        raise SnapshotError(
            f"{', '.join(maps)} were suspended for longer than {longest} s, and resumed before all their snapshots "
            "were made, which may be torn. Look why LVM's commands take so long on this host."
        )
