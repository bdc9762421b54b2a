"""Whether the host's own LVM looks at what is a guest's while it is exposed: its filter, or its devices file.

udev's rule keeps LVM from activating by itself; it does not keep «vgs», or any other LVM command on the host, from
finding a guest's physical volumes on our maps. A group there that is named as the host's breaks the host's commands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from holdstill.plugin import Complaint, Device, Host

FOR_OUR_MAPS = "r|^/dev/mapper/holdstill-|"
FOR_SNAPSHOTS = "r|^/dev/mapper/.*-hs_|"
OURS = (FOR_OUR_MAPS, FOR_SNAPSHOTS)
FOR_MAPPED_IMAGES = "r|^/dev/mapper/(loop|nbd)[0-9]|"
FOR_IMAGES = "r|^/dev/(loop|nbd)[0-9]|"
ASKED = ("global_filter", "filter", "use_devicesfile", "devicesfile")
DEVICES = "/etc/lvm/devices"
ACCEPT_ALL = "a|.*|"
OTHER_NAME = "/dev/dm-99"
CLOSING = {"(": ")", "[": "]", "{": "}"}
"LVM's patterns are between two of one character, or a pair of brackets."


def fence(host: Host) -> str:
    """Give what our own commands on the host's volume groups are told with ``--config``: not to look at a guest's.

    While one guest's metadata are read, another one's snapshot is made; a guest's group may be named as the host's.
    """
    settings = _settings(host) if host.installed("lvmconfig") else {"global_filter": []}
    present = [word for word in settings["global_filter"] if word not in {*OURS, ACCEPT_ALL}]
    words = ", ".join(json.dumps(word) for word in (*OURS, *present) if word.startswith(("a", "r")))
    return f"devices {{ global_filter = [ {words} ] }}"


def missing_filter(host: Host, disks: Sequence[Device], *, images: bool = False) -> list[Complaint]:
    """Complain if LVM on this host would look at our maps of these disks; with ``images``, also at what images are."""
    if not host.installed("lvmconfig"):
        return []
    settings = _settings(host)
    if _uses_devices_file(settings, host):
        return []
    wanted = {pattern: names for pattern, names in _names(disks, images=images).items() if names}
    seen = [name for names in wanted.values() for name in names if not _is_kept_out(name, settings)]
    return [Complaint(_sentence(seen[0], tuple(wanted), settings))] if seen else []


def _names(disks: Sequence[Device], *, images: bool) -> dict[str, list[str]]:
    """Give what there would be to see, by the pattern that hides it."""
    volumes = [disk.path for disk in disks if disk.path.startswith("/dev/")]
    files = len(volumes) < len(disks)
    return {
        FOR_OUR_MAPS: ["/dev/mapper/holdstill-20260101T000000Z00000000-guest-0"],
        FOR_SNAPSHOTS: [
            f"/dev/mapper/{group}-hs_20260101T000000Z00000000_guest.0000_disk1p1"
            for group in sorted({_group(path) for path in volumes})
        ],
        FOR_MAPPED_IMAGES: ["/dev/mapper/loop0p1", "/dev/mapper/nbd0p1"] if files else [],
        FOR_IMAGES: ["/dev/loop99", "/dev/nbd99"] if images else [],
    }


def _group(path: str) -> str:
    """Give a volume's group as device-mapper names it: ``/dev/VG/LV``, or ``/dev/mapper/VG-LV`` with dashes doubled."""
    mapped = re.fullmatch(r"/dev/mapper/((?:[^-]|--)+)-.+", path)
    return mapped[1] if mapped else path.split("/")[2].replace("-", "--")


def _settings(host: Host) -> dict[str, list[str]]:
    """Give each setting as a list of words: LVM prints «name=1», «name="word"» or «name=["word","word"]»."""
    asked = (f"devices/{name}" for name in ASKED)
    found: dict[str, list[str]] = {}
    for line in host.ask("lvmconfig", "--typeconfig", "full", *asked).out.splitlines():
        name, _, value = line.strip().partition("=")
        words = re.findall(r'"((?:[^"\\]|\\.)*)"', value)
        found[name] = [re.sub(r"\\(.)", r"\1", word) for word in words] or [value]
    return found


def _uses_devices_file(settings: dict[str, list[str]], host: Host) -> bool:
    """Tell whether LVM looks at nothing but what a file lists; without that file it looks at everything."""
    [use], [name] = settings["use_devicesfile"], settings["devicesfile"]
    return use == "1" and host.look(f"{DEVICES}/{name}") is not None


def _is_kept_out(name: str, settings: dict[str, list[str]]) -> bool:
    """Tell whether a filter rejects a device by one of its names, and accepts it by none: a map is /dev/dm-3, too."""
    names = [name, OTHER_NAME] if name.startswith("/dev/mapper/") else [name]
    for filter_name in ("global_filter", "filter"):
        verdicts = {_verdict(alias, settings[filter_name]) for alias in names}
        if "r" in verdicts and "a" not in verdicts:
            return True
    return False


def _verdict(name: str, patterns: list[str]) -> str:
    """Decide as LVM does (lvm.conf(5)): by the first pattern that matches, ``a`` or ``r``; empty if none does."""
    for pattern in patterns:
        begin, rest = pattern[1:2], pattern[2:]
        if re.search(rest.removesuffix(CLOSING.get(begin, begin)), name):
            return pattern[:1]
    return ""


def _sentence(name: str, wanted: tuple[str, ...], settings: dict[str, list[str]]) -> str:
    """Say what to add, and where: before what the host has already, since the first match decides."""
    present = [pattern for pattern in settings["global_filter"] if pattern not in {*wanted, ACCEPT_ALL}]
    line = ", ".join(f'"{pattern}"' for pattern in (*wanted, *present))
    return (
        f"LVM on this host would look for guests' volume groups on maps like {name}; tell it not to: have "
        f"«devices {{ global_filter = [ {line} ] }}» in /etc/lvm/lvmlocal.conf, without a pattern that accepts "
        f"{OTHER_NAME}, as «{ACCEPT_ALL}» would; or use a devices file (lvmdevices(8))."
    )
