"""Finding plugins: a broken one is remembered with its reason, and never in the way of the others."""

from __future__ import annotations

import py_compile
import sys
from importlib.metadata import EntryPoint
from importlib.util import cache_from_source

import pytest

from holdstill.plugins import load
from holdstill.plugins.load import find
from holdstill.plugins.registry import Registry
from holdstill.testing import plugins_in

UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
"Python runs such a file without a look at the source."
GOOD = """
from holdstill.plugin import hookimpl

@hookimpl
def holdstill_open(sources):
    return sources
"""


@pytest.fixture
def installed(monkeypatch):
    """Let these entry points be all that is installed: ``NAME=MODULE``."""

    def install(**points):
        made = [EntryPoint(name, value, "holdstill") for name, value in points.items()]
        monkeypatch.setattr(
            load, "entry_points", lambda group: [point for point in made if point.group == group]
        )

    install()
    return install


def told(folder):
    return {found.name: found.broken for found in find(folder)}


def test_the_built_in_plugins_are_found_by_their_entry_points(tmp_path):
    found = {one.name: one for one in find(tmp_path)}
    assert set(found) >= {
        "command",
        "guest-lv",
        "guest-vg",
        "image",
        "kpartx",
        "lvm",
        "mount",
        "partitions",
        "tar",
    }
    assert not any(one.broken for one in found.values())
    assert all(one.origin.startswith("holdstill ") for one in found.values())


@pytest.mark.usefixtures("installed")
def test_no_folder_for_single_files_is_no_plugins(tmp_path):
    assert told(tmp_path / "nowhere") == {}


@pytest.mark.usefixtures("installed")
def test_a_hidden_file_is_an_editors(drop_in):
    folder = drop_in("our_own", GOOD)
    (folder / ".#our_own.py").symlink_to("root@host.4711:1")
    assert told(folder) == {"our-own": ""}


@pytest.mark.usefixtures("installed")
def test_a_single_file_is_a_plugin_by_its_name(drop_in):
    folder = drop_in("our_own", GOOD)
    [found] = find(folder)
    assert (found.name, found.origin, found.broken) == ("our-own", str(folder / "our_own.py"), "")
    assert Registry([found]).implements("our-own", "holdstill_open")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise RuntimeError('no licence')", "RuntimeError: no licence"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("def holdstill_open(:", "SyntaxError: invalid syntax"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_a_plugin_that_breaks_at_import_is_told_with_its_reason_and_stops_no_other(drop_in, text, reason):
    drop_in("bad", text)
    said = told(drop_in("good", GOOD))
    assert said["good"] == ""
    assert said["bad"].startswith(reason)
    assert "holdstill_site_bad" not in sys.modules


def test_an_installed_plugin_that_breaks_stops_no_other(installed, drop_in):
    installed(gone="no_such_module", odd="os:no_such_name", fine="string")
    said = told(drop_in("good", GOOD))
    assert said == {
        "fine": "",
        "gone": "ModuleNotFoundError: No module named 'no_such_module'",
        "good": "",
        "odd": said["odd"],
    }
    assert said["odd"].startswith("AttributeError: ")


def test_of_two_plugins_with_one_name_the_installed_one_counts_and_the_other_is_told(installed, drop_in):
    installed(good="string")
    first, second = find(drop_in("good", GOOD))
    assert (first.name, first.broken) == ("good", "")
    assert second.broken == "the name 'good' is taken by string; rename one of the two"
    assert second.origin.endswith("/good.py")


@pytest.mark.usefixtures("installed")
def test_of_two_files_with_one_name_the_first_counts(drop_in):
    drop_in("our-own", GOOD)
    first, second = find(drop_in("our_own", GOOD))
    assert (first.origin[-10:], first.broken) == ("our-own.py", "")
    assert second.broken.startswith("the name 'our-own' is taken by ")


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
@pytest.mark.usefixtures("installed")
def test_a_file_that_others_may_write_is_never_run(drop_in, tmp_path, mode):
    folder = drop_in("bad", f"open({str(tmp_path / 'ran')!r}, 'w')")
    (folder / "bad.py").chmod(mode)
    assert told(folder)["bad"].startswith("it would run as root, but others may write")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.usefixtures("installed")
def test_a_file_in_a_folder_that_others_may_write_is_never_run(drop_in, tmp_path, mode):
    folder = drop_in("bad", f"open({str(tmp_path / 'ran')!r}, 'w')")
    folder.chmod(mode)
    assert f"chmod go-w {folder}" in told(folder)["bad"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("installed")
def test_a_plugin_that_others_could_have_compiled_is_never_run(drop_in, tmp_path):
    folder = drop_in("good", GOOD)
    cache = folder / "__pycache__"
    cache.mkdir(mode=0o755)
    assert told(folder) == {"good": ""}
    cache.chmod(0o777)
    forged = tmp_path / "forged.py"
    forged.write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    py_compile.compile(
        str(forged), str(cache_from_source(str(folder / "good.py"))), invalidation_mode=UNCHECKED
    )
    assert f"chmod go-w {cache}" in told(folder)["good"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.usefixtures("installed")
def test_a_link_to_a_file_where_others_may_write_is_never_run(drop_in, tmp_path):
    folder = drop_in("good", GOOD)
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (folder / "good.py").rename(theirs / "good.py")
    (folder / "good.py").symlink_to(theirs / "good.py")
    assert told(folder) == {"good": ""}
    theirs.chmod(0o777)
    assert f"chmod go-w {theirs}" in told(folder)["good"]


@pytest.mark.usefixtures("installed")
def test_a_plugin_can_look_itself_up_as_dataclasses_and_pickles_do(drop_in):
    folder = drop_in(
        "whole", "from dataclasses import dataclass\n@dataclass\nclass Thing:\n    size: 'int' = 1\n" + GOOD
    )
    assert told(folder) == {"whole": ""}


@pytest.mark.parametrize(
    "text", ["", "[project]\nname = 'our-own'\n", "[project.entry-points.other]\na = 'a'\n"]
)
def test_a_project_that_names_no_plugins_is_told_to_its_author(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(ValueError, match=r"names no plugins: «\[project.entry-points.holdstill\]»"):
        plugins_in(tmp_path)
