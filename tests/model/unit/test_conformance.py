"""The class of tests that authors derive from leaves alone what is theirs."""

from __future__ import annotations

import subprocess
import sys

TESTS = """
from pathlib import Path

import structlog

from holdstill.testing import plugins_in
from holdstill.testing.conformance import Conformance

structlog.configure(logger_factory=structlog.ReturnLoggerFactory())


class TestPlugins(Conformance):
    plugins = plugins_in(Path(__file__).parent / "plugins")
    shapes = {}


def test_the_log_is_as_its_author_has_configured_it():
    assert isinstance(structlog.get_config()["logger_factory"], structlog.ReturnLoggerFactory)
"""
PLUGIN = '"""A plugin that does nothing."""\n'


def test_an_authors_own_configuration_of_the_log_is_there_again_afterwards(tmp_path):
    (tmp_path / "plugins").mkdir(mode=0o755)
    (tmp_path / "plugins" / "ours.py").write_text(PLUGIN)
    (tmp_path / "plugins" / "ours.py").chmod(0o644)
    (tmp_path / "test_ours.py").write_text(TESTS)
    argv = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_ours.py"]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
