"""The plugin in contrib that a site is to copy: its own tests, with a modelled machine and a real slapd."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SITE_PLUGIN = Path(__file__).parents[3] / "contrib" / "site-plugin"


def test_the_tests_of_the_site_plugin_pass():
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=SITE_PLUGIN,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
