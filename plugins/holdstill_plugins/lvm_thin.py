"""Put right a thin snapshot whose creation was cut off.

LVM notes it in its metadata, has the pool make it, and then finishes the transaction. Cut off in between, the pool
has the snapshot already; LVM's next command on that pool, whichever it is, would first have it made again, and fails.
"""

from __future__ import annotations

from holdstill.plugin import Host
from holdstill_plugins.lvm_names import map_name
from holdstill_plugins.lvm_volumes import Volume

UNKNOWN = 1
"What dmsetup says of a map that is not there, and of a message that was refused."


def forget_half_made(snapshot: Volume, host: Host) -> bool:
    """Have the pool forget a snapshot that is to be removed, if it was never finished; tell whether it was so.

    The pool's own status names the transaction that it has finished last (Linux,
    Documentation/admin-guide/device-mapper/thin-provisioning.rst).
    """
    pool = f"{map_name(snapshot.pool)}-tpool"
    status = host.ask("dmsetup", "status", pool, ok=(0, UNKNOWN)).out.split()
    if not status or int(status[3]) > int(snapshot.transaction_id):
        return False
    host.run("dmsetup", "message", pool, "0", f"delete {snapshot.thin_id}", ok=(0, UNKNOWN))
    return True
