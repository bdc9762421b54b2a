"""What a promise remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Fact: TypeAlias = str | int | list[str]
Facts: TypeAlias = Mapping[str, Fact]
"""What a promise remembers; it outlives the process and the version that wrote it, so: plain values."""
