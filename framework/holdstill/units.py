"""Sizes and times as people write them."""

from __future__ import annotations

import re
from typing import Any

BYTES = {"": 1, "B": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
LARGEST = 2**60
"Bytes; more is a mistake."
LONGEST = 3650 * 86400
"Seconds; a longer time is a mistake, and an endless one cannot be written down."
SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(float):
    """A time in seconds; written ``90``, ``90s``, ``5m``, ``12h`` or ``2d``."""

    PATTERN = r"^[0-9]+(\.[0-9]+)?\s*[smhd]?$"

    @classmethod
    def parse(cls, written: object) -> Duration:
        """Read a time. Raises ValueError, as a sentence, if it is none."""
        match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([smhd]?)", str(written).strip())
        if not match:
            raise ValueError(
                f"{written!r} is not a time; write seconds, or a unit of s, m, h, d: 90s, 5m, 12h"
            )
        seconds = float(match[1]) * SECONDS[match[2]]
        if seconds > LONGEST:
            raise ValueError(f"{written!r} is longer than {LONGEST // SECONDS['d']} days")
        return cls(seconds)

    def __str__(self) -> str:
        for unit in ("d", "h", "m"):
            if self and self % SECONDS[unit] == 0:
                return f"{self / SECONDS[unit]:.15g}{unit}"
        return f"{float(self):.15g}s"


class Size:
    """An amount of storage: bytes, or a part of something that is known only on the host.

    Written ``1073741824``, ``512M``, ``10G`` (powers of 1024), or ``10%ORIGIN``, ``50%FREE``.
    """

    PATTERN = r"^[0-9]+(\.[0-9]+)?\s*(B|[KMGT](iB|B)?|%\s*(ORIGIN|FREE))?$"

    def __init__(self, amount: float, of: str = "") -> None:
        self.amount = amount
        self.of = of

    @classmethod
    def parse(cls, written: object) -> Size:
        """Read a size. Raises ValueError, as a sentence, if it is none."""
        text = str(written).strip()
        if share := re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*%\s*(ORIGIN|FREE)", text):
            return cls(_credible(float(share[1]), written), share[2])
        amount = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*(?:B|([KMGT])(?:iB|B)?)?", text)
        if not amount:
            raise ValueError(
                f"{written!r} is not a size; write bytes, or a unit of K, M, G, T (powers of 1024), "
                "or a share: 10G, 512M, 10%ORIGIN, 50%FREE"
            )
        return cls(_credible(float(amount[1]) * BYTES[amount[2] or ""], written))

    def bytes(self, *, origin: int, free: int) -> int:
        """How many bytes that is, beside an origin of ``origin`` bytes and with ``free`` bytes free."""
        whole = {"": 100.0, "ORIGIN": float(origin), "FREE": float(free)}[self.of]
        return int(self.amount * whole / 100)

    def __str__(self) -> str:
        return f"{self.amount:g}%{self.of}" if self.of else human_bytes(self.amount)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Size) and (self.amount, self.of) == (other.amount, other.of)

    def __hash__(self) -> int:
        return hash((self.amount, self.of))


def _credible(amount: float, written: object) -> float:
    if amount > LARGEST:
        raise ValueError(f"{written!r} is more than any disk has")
    return amount


def human_bytes(amount: float) -> str:
    """Write an amount of bytes for a person: ``3.4 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < BYTES["K"]:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= BYTES["K"]
    return f"{amount:.1f} TiB"


def decode(wanted: type[Any], written: object) -> Any:
    """Read a value of one of this module's types, for msgspec's ``dec_hook``."""
    if wanted in {Duration, Size}:
        return wanted.parse(written)
    raise TypeError(f"{wanted} is not a type that options may have")


def schema(wanted: type[Any]) -> dict[str, Any]:
    """Describe one of this module's types in JSON Schema, for msgspec's ``schema_hook``."""
    if wanted in {Duration, Size}:
        return {"type": ["string", "number"], "pattern": wanted.PATTERN}
    raise TypeError(f"{wanted} is not a type that options may have")
