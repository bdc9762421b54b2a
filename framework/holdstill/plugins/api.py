"""The version of what plugins import and implement, and whether a plugin fits it."""

from __future__ import annotations

API_VERSION = 1
"""Raised by one with every release that adds to what plugins may use. A plugin that says, as ``API_VERSION``, for which
it was written is refused by a holdstill that is too old or too new for it."""
OLDEST = 1
"The oldest version for which a plugin may have been written; raised when something goes that was deprecated."


def mismatch(plugin: object) -> str:
    """Say why a plugin cannot work with this holdstill, by what it says of itself; empty if nothing is against it."""
    wanted = getattr(plugin, "API_VERSION", API_VERSION)
    if not isinstance(wanted, int):
        return f"its API_VERSION is {wanted!r}; it must be a whole number"
    if wanted > API_VERSION:
        return f"it needs version {wanted} of the plugin API, and this holdstill has {API_VERSION}: update holdstill"
    if wanted < OLDEST:
        return f"it was written for version {wanted} of the plugin API, and {OLDEST} is the oldest here: update it"
    return ""
