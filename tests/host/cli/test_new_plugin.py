"""``holdstill new-plugin``: what it writes is a distribution whose tests pass, and bite."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAME = "couch-db"


def holdstill(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return called(folder, "holdstill", *arguments, **environment)


def called(folder: Path, *module: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a module of Python's in a folder."""
    return subprocess.run(
        [sys.executable, "-m", *module],
        cwd=folder,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """What it writes, in an empty folder."""
    done = holdstill(tmp_path, "new-plugin", NAME)
    assert done.returncode == 0, done.stderr
    return tmp_path / f"holdstill-{NAME}"


def run_tests(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return called(folder, "pytest", "-q", "-p", "no:cacheprovider", *arguments)


def test_its_tests_pass_and_say_what_to_run_next(tmp_path):
    done = holdstill(tmp_path, "new-plugin", NAME)
    folder = tmp_path / f"holdstill-{NAME}"
    assert done.stdout == (
        f"{folder} has the plugins couch-db, couch-db-open, couch-db-ends, and their tests. Run them:\n"
        f"  cd {folder} && python3 -m pytest\n"
    )
    tests = run_tests(folder)
    assert tests.returncode == 0, tests.stdout


def test_nothing_in_it_bears_our_own_name(written):
    for path in written.rglob("*"):
        assert "my" not in path.name
        assert not path.is_file() or ("my-app" not in path.read_text() and "my_app" not in path.read_text())
    assert len([path for path in written.rglob("*") if path.is_file()]) == 8


BREAKS = {
    "the undo does nothing": (
        "quiet.py",
        "Thaw.of(facts).run(host)",
        "del facts, host",
        "dies_at_any_moment_is_recovered",
        "Was every change promised, and undone? frozen",
    ),
    "the undo is blind": (
        "opening.py",
        '"detach", str(facts["name"])',
        '"detach", str(facts["name"]), ok=range(256)',
        "failure_for_success",
        "Still held after a run died at",
    ),
    "the change comes before its promise": (
        "opening.py",
        "    hold.promise(",
        '    host.run("couch-db-ctl", "attach", source.store, "0", "9999999", "early")\n    hold.promise(',
        "dies_at_any_moment_is_recovered",
        "A run that dies at «couch-db-ctl attach",
    ),
    "a deadline is too long": (
        "quiet.py",
        "    return frozen(",
        '    host.run("couch-db-ctl", "resume", address)\n    return frozen(',
        "no_hook_takes_longer",
        "'couch-db' is in holdstill_quiesce for 300 s, and may be for 60 s",
    ),
    "an option is not documented": (
        "ends.py",
        '    "What syslog shows it under."\n',
        "",
        "documented",
        "Options of 'couch-db-ends' without a string below that says what they are: {'tag'}",
    ),
    "a plan changes something": (
        "opening.py",
        '    host.run("couch-db-ctl", "attach", source.store, str(source.start), str(source.size), name, planned=path)',
        '    host.ask("couch-db-ctl", "attach", source.store, str(source.start), str(source.size), name)',
        "plan_changes_nothing",
        "",
    ),
}


@pytest.mark.parametrize("how", BREAKS)
def test_its_tests_bite(written, how):
    module, right, wrong, test, said = BREAKS[how]
    path = written / "src" / "holdstill_couch_db" / module
    assert right in path.read_text()
    path.write_text(path.read_text().replace(right, wrong))
    tests = run_tests(written, "-k", test)
    assert tests.returncode == 1, tests.stdout
    assert said in tests.stdout, tests.stdout


def test_installed_its_plugins_are_listed(written, tmp_path):
    place = tmp_path / "installed"
    # Without an index and an environment of its own: what builds it is installed beside us.
    offline = ("--no-index", "--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check")
    done = called(written, "pip", "install", *offline, "--target", str(place), ".")
    assert done.returncode == 0, done.stderr
    listed = holdstill(tmp_path, "plugins", PYTHONPATH=str(place))
    assert listed.returncode == 0, listed.stdout
    for name, role in ((NAME, "quiesce"), (f"{NAME}-open", "open"), (f"{NAME}-ends", "around")):
        assert any(line.split()[:2] == [name, role] for line in listed.stdout.splitlines()), listed.stdout
    assert f"holdstill-{NAME} 0.1.0" in listed.stdout


# What it refuses


def refusal(folder: Path, *arguments: str) -> str:
    done = holdstill(folder, "new-plugin", *arguments)
    assert done.returncode == 64
    return done.stderr


@pytest.mark.parametrize("name", ["", "Couch", "couch_db", "couch--db", "-x", "1st", "../x", "a" * 41, "x\n"])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    assert refusal(tmp_path, "--", name)
    assert list(tmp_path.iterdir()) == []


def test_the_name_of_a_plugin_that_is_there_is_refused(tmp_path):
    assert "There is a plugin 'tar' already (holdstill " in refusal(tmp_path, "tar")


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("mine")
    assert "nothing in it is overwritten" in refusal(tmp_path, NAME, "--to", "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["README.md"]
    assert (tmp_path / "mine" / "README.md").read_text() == "mine"


def test_it_goes_where_it_is_told_to(tmp_path):
    (tmp_path / "empty").mkdir()
    assert holdstill(tmp_path, "new-plugin", NAME, "--to", "empty").returncode == 0
    assert (tmp_path / "empty" / "pyproject.toml").exists()


def test_what_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    done = holdstill(tmp_path, "new-plugin", NAME, "--to", "file/there")
    assert done.returncode == 74
    assert "cannot be written to" in done.stderr
    assert done.stderr.count("\n") == 1
