"""What the machine finds on its /usr/local: the checkout installed by pip, and what it and the tests import.

The machine runs this machine's Debian release, so what this machine's Debian Python installs is right for it.
"""

from __future__ import annotations

import hashlib
import shutil
import tomllib
from importlib.metadata import version
from pathlib import Path

from .cache import cached
from .commands import run
from .needs import PYTHON

# The same pytest on both sides: reports travel from one to the other.
TEST_TOOLS = [f"pytest=={version('pytest')}", "pytest-mock", "hypothesis"]


def python_tree(checkout: Path, target: Path) -> Path:
    """Install ``checkout`` and its requirements beneath ``target``, and return what belongs on /usr/local."""
    wanted = sorted({*_requirements(checkout / "pyproject.toml"), *TEST_TOOLS})
    key = hashlib.sha256("\n".join([run(PYTHON, "--version"), *wanted]).encode()).hexdigest()[:12]
    # Copied, because the checkout is different each time and must not stay in the cache.
    shutil.copytree(cached(f"python-{key}", lambda tree: _pip_install(tree, *wanted)), target, symlinks=True)
    if (checkout / "pyproject.toml").exists():
        _pip_install(target, "--no-deps", str(checkout))
    return target / "usr/local"


def _requirements(pyproject: Path) -> list[str]:
    if not pyproject.exists():
        return []
    project = tomllib.loads(pyproject.read_text()).get("project", {})
    return [str(name) for name in project.get("dependencies", [])]


def _pip_install(root: Path, *what: str) -> None:
    run(
        PYTHON,
        "-I",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-input",
        "--ignore-installed",
        "--no-warn-script-location",
        "--root",
        root,
        *what,
    )
