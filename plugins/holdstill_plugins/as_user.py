"""Run a client program as another user of this host: servers trust local users by their name."""

from __future__ import annotations

import pwd

from holdstill.plugin import NotFoundError


def as_user(user: str, *argv: str) -> tuple[str, ...]:
    """Give the words that run a program as ``user``, or, if that is empty, as ourselves.

    By setpriv(1), as it becomes the program: whoever ends it ends that. Raises NotFoundError if there is no such user.
    """
    if not user:
        return argv
    try:
        group = pwd.getpwnam(user).pw_gid
    except KeyError:
        raise NotFoundError(f"There is no user {user!r} on this host.") from None
    return ("setpriv", f"--reuid={user}", f"--regid={group}", "--init-groups", "--", *argv)
