"""What the lab needs of the machine it runs on. Run as a program, it prints the packages to install."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

# Debian's Python, because the machine inside has the same one: see python_tree.py.
PYTHON = Path("/usr/bin/python3")
# After a plain su, Debian's root does not find mkfs.ext4.
PATH = f"{os.environ.get('PATH', '/usr/bin:/bin')}:/usr/sbin:/sbin"

PACKAGES = {
    "ca-certificates": "/etc/ssl/certs/ca-certificates.crt",
    "e2fsprogs": "mkfs.ext4",
    "mmdebstrap": "mmdebstrap",
    "python3-pip": "pip",
    "qemu-system-x86": "qemu-system-x86_64",
    "qemu-utils": "qemu-img",
    "util-linux": "setpriv",
}


def lacking() -> str:
    """Say why the lab cannot run here and what to do about it, or return an empty string."""
    if platform.machine() != "x86_64" or not shutil.which("apt-get"):
        return "The lab runs on Debian on x86_64: run it there, or in a container with Debian."
    if os.geteuid() != 0:
        return "The lab builds its image as root: run these tests as root."
    missing = [package for package, proof in PACKAGES.items() if not _is_there(proof)]
    if missing:
        return f"The lab lacks packages: apt-get install --no-install-recommends {' '.join(missing)}"
    return ""


def _is_there(proof: str) -> bool:
    if proof == "pip":
        return _debian_has_pip()
    return Path(proof).exists() if proof.startswith("/") else shutil.which(proof, path=PATH) is not None


def _debian_has_pip() -> bool:
    look = [str(PYTHON), "-I", "-c", "import pip"]
    return PYTHON.exists() and subprocess.run(look, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    sys.stdout.write(" ".join(PACKAGES) + "\n")
