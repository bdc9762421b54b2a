"""What users of «guest_lvm_mounter» have set: the host, the guests, and what is done when a guest stays in use."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from holdstill.config.load import NAME as NAME_OF_GUEST
from holdstill.errors import ConfigError, NotFoundError, StorageError, UsageError
from holdstill.legacy.shell import Assignments
from holdstill.text import nearest, printable

KNOWN = {
    "HOST_VG": "the host's volume group, with a logical volume for each guest",
    "HOST_LV": "a guest's logical volume in it; named as the guest if not set",
    "GUEST_VG": "the volume group inside the guest's disk",
    "GUEST_LV": "the guest's root in it",
    "SNAPSHOT_SIZE": "the room for a snapshot, as lvcreate takes it",
    "MOUNT_DIR": "the folder in which a folder for each guest was mounted",
    "GUESTS": "the guests' names; those of the *.source files if not set",
    "SERVICE": "the backup software's service",
    "SVC_SHUTDOWN": "whether that service was stopped when a guest stayed in use",
    "SHUTDOWN": "whether the host was rebooted when that did not help",
    "DEBUG": "whether more was told",
}
OF_EACH_GUEST = ("HOST_VG", "HOST_LV", "GUEST_VG", "GUEST_LV", "SNAPSHOT_SIZE")
VOLUME = re.compile(r"[A-Za-z0-9_.+][A-Za-z0-9_.+-]*")
"What lvm(8) allows in names."
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)([bkmgt]?)|[0-9]+%(?:ORIGIN|FREE)", re.IGNORECASE)
SERVICE = re.compile(r"(?:/etc/(?:rc\.d/)?init\.d/)?([A-Za-z0-9][A-Za-z0-9:_.@-]*)")
YES, NO = {"1", "y", "yes", "true", "on"}, {"", "0", "n", "no", "false", "off"}


class OldGuest(msgspec.Struct, frozen=True, kw_only=True):
    """A guest, as the script knew it."""

    name: str
    disk: str
    size: str = ""
    root: str = ""
    "``GUEST_VG/GUEST_LV``."


class OldScript(msgspec.Struct, frozen=True, kw_only=True):
    """All that was set for the script."""

    files: tuple[str, ...]
    guests: tuple[OldGuest, ...]
    service: str = ""
    reboots: bool = False
    mounted_in: str = ""
    unknown: frozenset[str] = frozenset()
    "Of our words those that only a shell could tell: set, perhaps, but not known how."
    left_out: tuple[str, ...] = ()
    "What was written and not taken over: a sentence each, with its file and line."


class Reader:
    """Reads the files of one folder, in the order in which the script did."""

    def __init__(self, folder: Path, renamed: Mapping[str, str]) -> None:
        """``renamed`` has our word for each variable that the script at hand calls otherwise.

        Raises UsageError if one of ours is not a word that we know.
        """
        for ours in renamed.values():
            if ours not in KNOWN:
                raise UsageError(f"There is no variable {ours!r}{nearest(ours, KNOWN) or '.'}")
        self._folder, self._renamed = folder, renamed
        self._files: list[str] = []
        self._left_out: list[str] = []
        self._wrong: list[str] = []
        self._assigned: list[tuple[str, int, str]] = []
        self._used: set[str] = set()
        self._unknown_now: set[str] = set()

    def read(self) -> OldScript:
        """Give all that is set. Raises NotFoundError if nothing is, ConfigError if it makes no configuration."""
        host = self._values("host.conf", {})
        common = self._values("guests.conf", host)
        unknown = frozenset(self._renamed.get(name, name) for name in self._unknown_now) & KNOWN.keys()
        guests = tuple(self._guest(name, common) for name in self._guests(common))
        if not self._files:
            raise NotFoundError(
                f"{self._folder} has no host.conf, guests.conf or *.source: nothing to import."
            )
        if not guests:
            self._wrong.append("no guests are named: set GUESTS, or have a NAME.source for each")
        value = self._of_ours(common)
        found = OldScript(
            files=tuple(self._files),
            guests=guests,
            service=self._service(value) if self._is_on(value, "SVC_SHUTDOWN") else "",
            reboots=self._is_on(value, "SHUTDOWN"),
            mounted_in=value("MOUNT_DIR").rstrip("/"),
            unknown=unknown,
            left_out=tuple(dict.fromkeys([*self._left_out, *self._unknown()])),
        )
        if self._wrong:  # perhaps because of what was left out
            raise ConfigError([printable(sentence) for sentence in (*self._wrong, *found.left_out)])
        return found

    def _unknown(self) -> Iterator[str]:
        """Tell of variables that mean nothing to us, and that no other was made of."""
        for name, line, variable in self._assigned:
            if self._renamed.get(variable, variable) not in KNOWN and variable not in self._used:
                yield f"{name}:{line}: {variable} is no variable that import knows"

    def _values(self, name: str, before: Mapping[str, str]) -> dict[str, str]:
        """Give what is set when a file has been read, and note what of it is not taken over."""
        path = self._folder / name
        try:
            text = self._text(path)
        except FileNotFoundError:
            return dict(before)
        except OSError as error:
            raise StorageError(f"{path} cannot be read: {error.strerror}.") from None
        found = Assignments(text, before)
        self._files.append(name)
        self._left_out += [f"{name}:{line}: «{text}»: {why}" for line, text, why in found.left_out]
        self._assigned += [(name, line, variable) for variable, line in found.lines.items()]
        self._used |= found.used
        self._unknown_now = (self._unknown_now - found.lines.keys()) | found.unknown
        return found.values

    def _text(self, path: Path) -> str:
        """Read a file; one of before UTF-8 was everywhere, as Latin-1: mostly its comments are."""
        try:
            return path.read_text("utf-8")
        except UnicodeDecodeError:
            self._left_out.append(f"{path.name} is not text in UTF-8, and was read as Latin-1")
            return path.read_text("latin-1")

    def _at(self, word: str) -> str:
        """Give ``FILE:LINE: `` of where one of our words was last assigned."""
        places = (
            f"{name}:{line}: "
            for name, line, variable in reversed(self._assigned)
            if self._renamed.get(variable, variable) == word
        )
        return next(places, "")

    def _of_ours(self, values: Mapping[str, str]) -> Callable[[str], str]:
        """Give the value of a variable by our word for it; empty if it has none."""
        ours = {self._renamed.get(name, name): value for name, value in values.items()}
        return lambda name: ours.get(name, "").strip()

    def _guests(self, common: Mapping[str, str]) -> list[str]:
        there = sorted(path.stem for path in self._folder.glob("*.source"))
        named = list(dict.fromkeys(self._of_ours(common)("GUESTS").split())) or there
        for name in there:
            if name not in named:
                self._left_out.append(f"{name}.source: GUESTS does not name this guest")
        return named

    def _guest(self, name: str, common: Mapping[str, str]) -> OldGuest:
        value = self._of_ours(self._values(f"{name}.source", common))
        given = {word: value(word).removeprefix("/dev/") for word in OF_EACH_GUEST} | {
            "HOST_LV": value("HOST_LV")
        }
        self._wrong += [f"the guest {name!r}: {sentence}" for sentence in _wrong_with(name, given)]
        root = f"{given['GUEST_VG']}/{given['GUEST_LV']}" if given["GUEST_VG"] and given["GUEST_LV"] else ""
        volume = given["HOST_LV"] or name
        return OldGuest(
            name=name,
            disk=volume if volume.startswith("/") else f"/dev/{given['HOST_VG']}/{volume}",
            size=self._size(name, given["SNAPSHOT_SIZE"]),
            root=root,
        )

    def _size(self, guest: str, written: str) -> str:
        """Give a size in our words: lvcreate's units are of either case, and megabytes if none is said."""
        match = SIZE.fullmatch(written)
        if written and not match:
            self._left_out.append(
                f"{self._at('SNAPSHOT_SIZE')}the guest {guest!r}: SNAPSHOT_SIZE={written} is no size that import knows"
            )
        if not match:
            return ""
        return f"{match[1]}{match[2].upper() or 'M'}" if match[1] else written.upper()

    def _is_on(self, value: Callable[[str], str], name: str) -> bool:
        said = value(name).lower()
        if said not in YES | NO:
            self._left_out.append(
                f"{self._at(name)}{name}={said} says neither yes nor no; it is taken for no"
            )
        return said in YES

    def _service(self, value: Callable[[str], str]) -> str:
        match = SERVICE.fullmatch(value("SERVICE"))
        if not match:
            self._left_out.append(f"{self._at('SERVICE')}SVC_SHUTDOWN is set, but SERVICE names no service")
        return match[1] if match else ""


def _wrong_with(name: str, given: Mapping[str, str]) -> Iterator[str]:
    """Say why a guest can be no guest of a configuration."""
    if not NAME_OF_GUEST.fullmatch(name):
        yield "this cannot be a name: use letters, digits, '_', '.' and '-', at most 64"
    if not given["HOST_VG"] and not given["HOST_LV"].startswith("/"):
        yield "its disk is not known: HOST_VG is not set"
    for word in ("HOST_VG", "HOST_LV", "GUEST_VG", "GUEST_LV"):
        if given[word] and not VOLUME.fullmatch(given[word]) and not _is_path(word, given[word]):
            yield f"{word}={given[word]} is no name of LVM's"


def _is_path(word: str, value: str) -> bool:
    return word == "HOST_LV" and value.startswith("/")
