"""``mount``: a guest's files at one path: its root, and beneath it what its own fstab names.

Everything on the disk was written by the guest and is not trusted: no link of its is followed, no option of
its is used, nothing of its can be run, and no device node of its works. The snapshot is writable so that
the file system's journal is replayed; what is mounted is read-only.
"""

from __future__ import annotations

import msgspec

from holdstill.plugin import (
    Complaint,
    Device,
    ExitCode,
    Facts,
    GuestUnusableError,
    Hold,
    Host,
    Search,
    Sources,
    Step,
    Stray,
    Tree,
    hookimpl,
    missing_tools,
    printable,
)
from holdstill_plugins import mounts
from holdstill_plugins.fstab import Entry, plain_point, read_fstab
from holdstill_plugins.probe import ELSEWHERE

FILE_SYSTEMS = {"btrfs", "ext2", "ext3", "ext4", "vfat", "xfs"}


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """What is mounted where."""

    root: str = ""
    "The source with the guest's root, by name (``disk1p1``, ``vg0/root``); found out if not given."
    beneath: dict[str, str] | None = None
    "What else is mounted, ``MOUNT POINT: SOURCE``; as the guest's own fstab says if not given."
    lazy: bool = False
    """Unmount lazily what is still in use when it is to be let go of: its path is gone at once, while those who have
    files of it open read on. The snapshot beneath is let go of when the last of them has ended, as ever."""
    leave_out: list[str] = []
    "Sources by name, and mount points, that are not to be backed up; all others must be found and mounted."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need mount(8), and free mount points."""
    found = missing_tools(host, "mount", "umount")
    for step in steps:
        found += _in_the_way(step, host)
    return found


def _in_the_way(step: Step[Options], host: Host) -> list[Complaint]:
    found: list[Complaint] = []
    tree = step.run.tree(step.guest)
    for point in step.options.beneath or ():
        if plain_point(point) != point:
            wrong = (
                f"Guest {step.guest}'s 'beneath' has {point!r}, which is no mount point; write it as /boot."
            )
            found.append(Complaint(wrong, ExitCode.CONFIG))
    if host.look(tree):
        there = f"{tree}, where guest {step.guest} would appear, exists already."
        found.append(Complaint(f"{there} If «holdstill held {step.run.job}» tells of no hold, remove it."))
    return found


@hookimpl
def holdstill_open(step: Step[Options], sources: Sources, hold: Hold, host: Host) -> Sources:
    """Put one tree in the place of all file systems that are mounted in it."""
    _journals_are_there(step, sources)
    candidates = {
        source.name: source
        for source in sources
        if isinstance(source, Device) and source.content in FILE_SYSTEMS and source.attached
    }
    tree = step.run.tree(step.guest)
    hold.promise(f"folder {tree}", by_hand=["rmdir", tree], folder=tree)
    host.run("mkdir", "--mode=0", tree)
    root = _named_root(step, candidates) or _root_by_fstab(step, candidates, tree, hold, host)
    lazy = step.options.lazy
    mounts.mount(root, tree, tree, hold, host, lazy=lazy)
    mounted = {root.name}
    for point, device in _beneath(step, tree, candidates, host):
        with host.beneath(tree, point) as place:
            mounts.mount(device, f"{tree}{point}", place, hold, host, lazy=lazy)
        mounted.add(device.name)
    rest = tuple(source for source in sources if isinstance(source, Tree) or source.name not in mounted)
    _nothing_forgotten(step, rest)
    return (*rest, Tree(guest=step.guest, path=tree))


def _journals_are_there(step: Step[Options], sources: Sources) -> None:
    """Refuse a file system whose journal is on another device: without it, what was last written is lost."""
    for source in sources:
        if (
            isinstance(source, Device)
            and source.content.endswith(ELSEWHERE)
            and source.name not in step.options.leave_out
        ):
            raise GuestUnusableError(
                f"{printable(source.name)} of guest {step.guest} is {source.content}, which 'mount' does not bring "
                "together; back it up from inside the guest, and name it in 'leave-out'."
            )


def _nothing_forgotten(step: Step[Options], rest: Sources) -> None:
    """Refuse to leave out a file system that nobody named: a backup without /home must not look like one."""
    if step.options.beneath is not None:
        return  # what is wanted was said
    left = [source for source in rest if isinstance(source, Device) and source.content not in {"", "swap"}]
    if forgotten := [source for source in left if source.name not in step.options.leave_out]:
        names = ", ".join(printable(f"{source.name} ({source.content})") for source in forgotten)
        raise GuestUnusableError(
            f"On guest {step.guest}'s disks there is what would not be backed up: {names}. Its fstab does not mount "
            "it, or 'mount' cannot. Say where it belongs with 'beneath', or name it in 'leave-out'."
        )


def _named_root(step: Step[Options], candidates: dict[str, Device]) -> Device | None:
    """Give the file system that is named as the root, or is the only one, or is a volume called ``root``."""
    if step.options.root:
        return _named(step, step.options.root, candidates)
    found = list(candidates.values())
    if len(found) > 1:
        found = [device for name, device in candidates.items() if name.rpartition("/")[2] == "root"]
    return found[0] if len(found) == 1 else None


def _root_by_fstab(
    step: Step[Options], candidates: dict[str, Device], tree: str, hold: Hold, host: Host
) -> Device:
    """Mount each file system for a moment: the root is the one that has an /etc/fstab."""
    found = [device for device in candidates.values() if _has_fstab(device, tree, hold, host)]
    if len(found) == 1:
        return found[0]
    why = "several file systems have an /etc/fstab" if found else "no file system has an /etc/fstab"
    known = ", ".join(f"{name} ({device.content})" for name, device in candidates.items()) or "none"
    raise GuestUnusableError(
        f"Which is guest {step.guest}'s root? On its disks {why}; set 'root' to one of: {known}."
    )


def _has_fstab(device: Device, tree: str, hold: Hold, host: Host) -> bool:
    promised = mounts.mount(device, tree, tree, hold, host)
    try:
        found = host.read_beneath(tree, "/etc/fstab") is not None
    except GuestUnusableError:  # a link or a device node: nothing that a root would have
        found = False
    host.run("umount", "--no-canonicalize", tree)
    hold.undone(promised)
    return found


def _beneath(
    step: Step[Options], tree: str, candidates: dict[str, Device], host: Host
) -> list[tuple[str, Device]]:
    """Give what is mounted beneath the root, outer mount points first."""
    given = step.options.beneath
    if given is not None:
        found = [(point, _named(step, source, candidates)) for point, source in given.items()]
        return sorted(found, key=lambda pair: pair[0].count("/"))
    return [
        (entry.point, _meant(step, entry, candidates))
        for entry in _entries(step, tree, host)
        if entry.point != "/" and entry.point not in step.options.leave_out
    ]


def _entries(step: Step[Options], tree: str, host: Host) -> tuple[Entry, ...]:
    try:
        entries = read_fstab(host.read_beneath(tree, "/etc/fstab") or "")
    except (GuestUnusableError, ValueError) as error:
        raise GuestUnusableError(
            f"Guest {step.guest}'s /etc/fstab is not read ({error}); say with 'beneath' what is mounted where."
        ) from None
    if any(entry.subvolume for entry in entries):
        raise GuestUnusableError(
            f"Guest {step.guest} mounts subvolumes of a btrfs, which 'mount' cannot tell apart; set 'beneath', for "
            "example to {} for the whole of the root's file system."
        )
    return entries


def _named(step: Step[Options], source: str, candidates: dict[str, Device]) -> Device:
    if source in candidates:
        return candidates[source]
    known = ", ".join(candidates) or "none"
    raise GuestUnusableError(
        f"Guest {step.guest} has no file system {source!r} to mount; there are: {known}."
    )


def _meant(step: Step[Options], entry: Entry, candidates: dict[str, Device]) -> Device:
    """Give the source that a line of the guest's fstab means: one, and one of its disks'."""
    found = [
        device
        for device in candidates.values()
        if entry.source in device.aliases or entry.disk_name == device.name
    ]
    if len(found) == 1:
        return found[0]
    why = "fits several file systems" if found else "fits no file system"
    known = ", ".join(candidates) or "none"
    raise GuestUnusableError(
        f"Guest {step.guest}'s fstab mounts {printable(entry.source)} at {entry.point}, which {why} on its disks "
        f"({known}). Say with 'beneath' what is mounted where, or name {entry.point} in 'leave-out'."
    )


@hookimpl
def holdstill_still(facts: Facts, host: Host) -> None:
    """Refuse a backup whose mount vanished: device-mapper's daemon unmounts a snapshot that overflows."""
    if "at" in facts:
        mounts.expect(facts, host)


@hookimpl
def holdstill_places(facts: Facts) -> list[str]:
    """Tell what must be free: the mount."""
    return [str(facts["at"])] if "at" in facts else []


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Unmount, or remove the empty mount point."""
    if "at" in facts:
        mounts.unmount(facts, host)
    elif host.look(folder := str(facts["folder"])):
        host.run("rmdir", folder)


@hookimpl
def holdstill_strays(search: Search, host: Host) -> list[Stray]:
    """Find mounts where no run has its trees."""
    return mounts.strays(search, host)
