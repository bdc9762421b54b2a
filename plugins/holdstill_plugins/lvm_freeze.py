"""Keep several origins from being written to, until each has its snapshot.

Snapshots that are made one after the other are torn: what the guest writes to its disks in turn is in one and not
in the other. So all origins are suspended first; each lvcreate resumes its own when it is done.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from holdstill.plugin import Hold, Host
from holdstill_plugins import lvm_awake
from holdstill_plugins.lvm_names import map_name

LONGEST = 30
"Seconds after which the watchdog resumes the origins, whatever has become of us."
WATCHDOG = (sys.executable, "-I", "-S", str(Path(lvm_awake.__file__)))


@contextmanager
def frozen(origins: list[str], hold: Hold, host: Host) -> Iterator[None]:
    """Suspend origins (``VG/LV`` each) while their snapshots are made inside.

    Thick ones only: a thin origin that is suspended beforehand breaks its pool's transaction.
    Raises CommandFailedError if the watchdog had to resume them before we did: the snapshots may be torn.
    """
    maps = [map_name(origin) for origin in origins]
    promised = hold.promise(
        f"{', '.join(origins)} suspended", by_hand=f"dmsetup resume {shlex.join(maps)}", suspended=maps
    )
    with host.companion(*WATCHDOG, str(LONGEST), *maps):
        try:
            host.run("dmsetup", "suspend", "--nolockfs", *maps)
            yield
        finally:
            host.run("dmsetup", "resume", *maps)
    hold.undone(promised)
