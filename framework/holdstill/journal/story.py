"""What a journal tells."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from holdstill.journal.records import VERSION, HandedOver, Header, KeptOpen, Promise, Undone, decode

BEGINNING = b'{"record":"run"'
"How every journal begins."


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """A journal, read: all that can be read of it."""

    header: Header | None
    promises: tuple[Promise, ...] = ()
    undone: frozenset[int] = frozenset()
    handed_over: HandedOver | None = None
    kept_open: tuple[str, ...] = ()
    "Who kept things open when somebody last tried to let go of them."
    whole: int = 0
    "How many bytes, from the beginning, are whole lines; what follows was torn by a crash."
    damage: str = ""
    "Why it cannot be trusted to be complete; empty when it can."

    @property
    def newer(self) -> bool:
        """Whether a newer holdstill wrote it: then only that one can release it."""
        return self.header is not None and self.header.version > VERSION

    @property
    def open(self) -> tuple[Promise, ...]:
        """The promises that are not kept yet, in the order in which they were made."""
        return tuple(promise for promise in self.promises if promise.number not in self.undone)


def tell(content: bytes) -> Story:
    """Read a journal.

    What comes after the last good line is a torn write that nobody relied on, and is passed over. A bad
    line *before* a good one is damage: what can be read is still told, and the damage is said.
    """
    lines = content.split(b"\n")[:-1]
    records = [decode(line) for line in lines]
    while records and records[-1] is None:
        records.pop()
    header = records[0] if records and isinstance(records[0], Header) else None
    return Story(
        header=header,
        promises=tuple(record for record in records if isinstance(record, Promise)),
        undone=frozenset(record.number for record in records if isinstance(record, Undone)),
        handed_over=next((record for record in reversed(records) if isinstance(record, HandedOver)), None),
        kept_open=next(
            (tuple(record.by) for record in reversed(records) if isinstance(record, KeptOpen)), ()
        ),
        whole=sum(len(line) + 1 for line in lines[: len(records)]),
        damage=_damage(records, header) if records else _nothing_read(content),
    )


def _nothing_read(content: bytes) -> str:
    """Tell a first line that was torn, before anything was promised, from a journal that something overwrote."""
    written = content.rstrip(b"\0")
    torn = b"\n" not in written and (written.startswith(BEGINNING) or BEGINNING.startswith(written))
    return "" if torn else "nothing in it can be read"


def _damage(records: Sequence[object], header: Header | None) -> str:
    if header and header.version > VERSION:
        return f"it was written by a newer holdstill (journal version {header.version}, this one reads {VERSION})"
    bad = [number for number, record in enumerate(records, start=1) if record is None]
    if bad:
        return f"line {bad[0]} of {len(records)} cannot be read"
    return "" if header else "its first line does not say which run it is"
