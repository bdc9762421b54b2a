"""Keep several origins from being written to, until each has its snapshot.

Snapshots that are made one after the other are torn: what the guest writes to its disks in turn is in one and not
in the other. So all origins are suspended first; each lvcreate resumes its own when it is done.
"""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdstill.plugin import Hold, Host, SnapshotError
from holdstill_plugins import lvm_awake
from holdstill_plugins.lvm_names import map_name

LONGEST = 15
"Seconds for each origin after which the watchdog resumes them all, whatever has become of us."
WATCHDOG = (sys.executable, "-I", "-S", str(Path(lvm_awake.__file__)))


@contextmanager
def frozen(origins: list[str], hold: Hold, host: Host) -> Iterator[None]:
    """Suspend origins (``VG/LV`` each) while their snapshots are made inside.

    Thick ones only: a thin origin that is suspended beforehand breaks its pool's transaction.
    Raises SnapshotError if it took so long that the watchdog has resumed them: the snapshots may be torn.
    """
    maps, longest = [map_name(origin) for origin in origins], LONGEST * len(origins)
    promised = hold.promise(
        f"{', '.join(origins)} suspended", by_hand=f"dmsetup resume {shlex.join(maps)}", suspended=maps
    )
    began = time.monotonic()
    with host.companion(*WATCHDOG, str(longest), *maps):
        try:
            host.run("dmsetup", "suspend", "--nolockfs", *maps)
            yield
        finally:
            host.run("dmsetup", "resume", *maps)
        if time.monotonic() - began > longest:
            raise SnapshotError(
                f"{', '.join(origins)} were suspended for longer than {longest} s, and resumed before all their "
                "snapshots were made, which may be torn. Look why LVM's commands take so long on this host."
            )
    hold.undone(promised)
