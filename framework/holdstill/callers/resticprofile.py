"""resticprofile: its commands before, after and finally around a backup of restic's.

Only what ends its «run-after» with a failure fails the backup, and only its «run-finally» is called whatever happened:
so both let go.
"""

from __future__ import annotations

from holdstill.callers import Call, File, Given
from holdstill.errors import UsageError

FILES = (
    File("profiles.toml", "into resticprofile's configuration, such as /etc/resticprofile/profiles.toml"),
)


def hook(given: Given) -> Call:
    """Take the profile's name for the session: two profiles must not let go of what the other one reads."""
    session = given.environment.get("PROFILE_NAME", "default")
    match given.words:
        case ["run-before"]:
            return Call("pre", given.job, session)
        case ["run-after" | "run-finally"]:
            verdict = "failed" if given.environment.get("ERROR_MESSAGE") else "ok"
            return Call("post", given.job, session, verdict=verdict)
    raise UsageError(
        f"resticprofile's command is run-before, run-after or run-finally, not {' '.join(given.words)!r}."
    )
