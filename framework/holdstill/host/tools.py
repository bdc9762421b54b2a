"""Which Debian package has a tool that is missing, or where it was looked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdstill.words import Complaint

if TYPE_CHECKING:
    from holdstill.host import Host

PACKAGES = {
    "blkid": "util-linux",
    "cp": "coreutils",
    "dmsetup": "dmsetup",
    "gzip": "gzip",
    "kpartx": "kpartx",
    "losetup": "mount",
    "mariadb": "mariadb-client",
    "lvcreate": "lvm2",
    "lvextend": "lvm2",
    "lvremove": "lvm2",
    "lsblk": "util-linux",
    "lvs": "lvm2",
    "mount": "mount",
    "partx": "util-linux",
    "psql": "postgresql-client",
    "pvs": "lvm2",
    "qemu-img": "qemu-utils",
    "qemu-nbd": "qemu-utils",
    "redis-cli": "redis-tools",
    "setpriv": "util-linux",
    "sfdisk": "fdisk",
    "tar": "tar",
    "umount": "mount",
    "vgchange": "lvm2",
    "vgimportclone": "lvm2",
    "zstd": "zstd",
}


def package_of(tool: str) -> str:
    """Say how to get ``tool``, as the end of a sentence; where it was looked for, if we do not know."""
    from holdstill.host.command import ENVIRONMENT  # which imports this

    package = PACKAGES.get(tool)
    if package:
        return f": install the package {package} («apt-get install {package}»)"
    return "" if "/" in tool else f": it is in none of {ENVIRONMENT['PATH']}"


def missing_tools(host: Host, *tools: str) -> list[Complaint]:
    """Complain of each command that a step needs and that is not installed."""
    return [
        Complaint(f"«{tool}» is not installed{package_of(tool)}.")
        for tool in tools
        if not host.installed(tool)
    ]
