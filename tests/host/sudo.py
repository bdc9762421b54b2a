"""A backup user, and sudo with the rules of contrib/sudoers.d for them; both are taken away again."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

RULES = Path(__file__).parents[2] / "contrib" / "sudoers.d"
FOLDER = Path("/etc/sudoers.d")
LAUNCHER = """#!{python} -I
import sys
from pathlib import Path

from holdstill.places import Places

Places.__new__.__defaults__ = tuple(Path({root!r}) / name for name in ("site.yaml", "state", "trees", "plugins"))

from holdstill.cli import main

main()
"""
"A holdstill whose usual places are those of a test: through sudo, nobody can name others."


@dataclass
class BackupUser:
    """A user without rights of their own."""

    name: str
    program: Path

    def call(
        self, *words: str | bytes, sudo: tuple[str, ...] = ("-n",), **more
    ) -> subprocess.CompletedProcess:
        """Call holdstill through sudo, as they would."""
        account = pwd.getpwnam(self.name)
        options = {"env": {"PATH": os.defpath}, "stdin": subprocess.DEVNULL, "cwd": "/"} | more
        return subprocess.run(
            ["/usr/bin/sudo", *sudo, str(self.program), *words],
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            check=False,
            timeout=120,
            **options,
        )

    def may(self, *words: str | bytes) -> bool:
        """Whether sudo would let them call it so; nothing is called."""
        return self.call(*words, sudo=("-n", "-l")).returncode == 0


@contextmanager
def backup_user() -> Iterator[str]:
    """Have a new system user for a while; give their name."""
    name = f"holdstill-{os.getpid()}"
    subprocess.run(["useradd", "--system", "--no-create-home", "--home-dir=/", name], check=True)
    try:
        yield name
    finally:
        subprocess.run(["userdel", name], check=True)


@contextmanager
def rules(text: str) -> Iterator[None]:
    """Let sudo follow more rules for a while; none that it does not understand."""
    path = FOLDER / f"holdstill-test-{os.getpid()}"
    made = path.with_suffix(".new")  # sudo reads no file with a dot in its name
    made.write_text(text)
    made.chmod(0o440)
    try:
        checked = subprocess.run(
            ["visudo", "--check", f"--file={made}"], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stderr
        made.rename(path)
        yield
    finally:
        path.unlink(missing_ok=True)
        made.unlink(missing_ok=True)


def shipped(file: str, user: str, program: Path) -> str:
    """Give a file of contrib/sudoers.d for that user and that program, under a name that nobody else's rules have."""
    text = (RULES / file).read_text()
    alias = f"HOLDSTILL_{os.getpid()}"
    return (
        text.replace("/usr/local/sbin/holdstill", str(program))
        .replace("HOLDSTILL_NIGHTLY", alias)
        .replace("\nbackup ", f"\n{user} ")
        .replace("\nmonitor ", f"\n{user} ")
    ) + f"Defaults:{user} !mail_badpass\n"  # a mail that sudo still sends for them would keep the user in use


def launcher(root: Path) -> Path:
    """Install holdstill as root does, its usual places in ``root``, with the link that Amanda calls."""
    path = root / "sbin" / "holdstill"
    path.parent.mkdir(mode=0o755)
    path.write_text(LAUNCHER.format(python=sys.executable, root=str(root)))
    path.chmod(0o755)
    path.with_name("holdstill-amanda.nightly").symlink_to(path.name)
    return path
