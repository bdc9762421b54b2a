"""What root takes for its own, only root may write, and whatever it is in."""

from __future__ import annotations

import os

import pytest

from holdstill.errors import PermissionRefusedError
from holdstill.trust import insist_on, written_by_others

NOBODY = 65534


@pytest.fixture
def folder(tmp_path):
    """``tmp_path/above/below``, that nobody else may write."""
    below = tmp_path / "above" / "below"
    below.mkdir(parents=True, mode=0o755)
    for made in (below, below.parent):
        made.chmod(0o755)
    return below


@pytest.fixture
def file(folder):
    path = folder / "file"
    path.write_text("")
    path.chmod(0o644)
    return path


def test_what_nobody_else_may_write_is_ours(file):
    assert written_by_others(file) is None


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o602])
def test_a_file_that_others_may_write(file, mode):
    file.chmod(mode)
    assert written_by_others(file) == file


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777])
@pytest.mark.parametrize("up", [0, 1])
def test_any_folder_above_that_others_may_write(file, mode, up):
    file.parents[up].chmod(mode)
    assert written_by_others(file) == file.parents[up]


def test_above_may_be_one_in_which_each_may_only_touch_their_own(file):
    file.parents[1].chmod(0o1777)
    assert written_by_others(file) is None


def test_but_nothing_of_ours_may_be_such_a_folder_or_still_be_made_in_one(folder):
    folder.chmod(0o1777)
    assert written_by_others(folder) == folder
    assert written_by_others(folder / "new") == folder
    assert written_by_others(folder / "new" / "newer") == folder


def test_what_is_not_there_yet_is_as_safe_as_what_it_will_be_made_in(folder):
    assert written_by_others(folder / "new" / "newer") is None


def test_a_link_is_as_safe_as_what_it_leads_to(file, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    target = elsewhere / "target"
    target.touch(mode=0o644)
    link = file.with_name("link")
    link.symlink_to(target)
    assert written_by_others(link) is None
    elsewhere.chmod(0o777)
    assert written_by_others(link) == elsewhere


def test_a_link_that_leads_to_itself_is_no_file_at_all(folder):
    loop = folder / "loop"
    loop.symlink_to(loop)
    assert written_by_others(loop) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
@pytest.mark.parametrize("up", [None, 0, 1])
def test_what_is_somebody_elses(file, up):
    given = file if up is None else file.parents[up]
    os.chown(given, NOBODY, -1)
    assert written_by_others(file) == given


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give files away")
def test_a_folder_of_somebody_elses_is_not_safe_however_sticky(file):
    file.parents[1].chmod(0o1755)
    os.chown(file.parents[1], NOBODY, -1)
    assert written_by_others(file) == file.parents[1]


def test_the_sentence_says_what_is_wrong_and_what_to_do(folder):
    insist_on(folder)
    folder.parent.chmod(0o777)
    with pytest.raises(PermissionRefusedError) as raised:
        insist_on(folder)
    assert str(raised.value) == (
        f"{folder} is root's own, but others may write {folder.parent}; "
        f"make it safe with «chown root {folder.parent}; chmod go-w {folder.parent}»."
    )
