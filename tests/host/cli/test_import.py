"""``holdstill import``: from the files of the script «guest_lvm_mounter» to a configuration that can be checked."""

from __future__ import annotations

import pytest


@pytest.fixture
def old(place):
    folder = place.root / "old"
    folder.mkdir()
    (folder / "host.conf").write_text("HOST_VG=hostvg\nWHEN=`date`\n")
    (folder / "web.source").write_text("GUEST_VG=webvg; GUEST_LV=root\n")
    return folder


LEFT_OUT = "not taken over: host.conf:2: «WHEN=`date`»: only a shell could tell what that is\n"


def test_it_prints_a_configuration_and_tells_what_it_left_out(place, old):
    result = place.run("import", str(old))
    assert (result.code, result.err) == (0, LEFT_OUT)
    assert "disks: [/dev/hostvg/web]" in result.out


def test_what_it_wrote_to_a_file_is_as_check_wants_it(place, old):
    printed = place.run("import", str(old)).out
    place.config.unlink()
    result = place.run("import", str(old), "--to", str(place.config), umask=0o077)
    assert (result.code, result.out, result.err) == (0, "", LEFT_OUT)
    assert place.config.read_text() == printed
    assert place.config.stat().st_mode & 0o777 == 0o644
    checked = place.run("check")
    assert "a disk of guest web, does not exist" in checked.err
    assert "site.yaml" not in checked.err


def test_a_file_that_is_there_is_not_overwritten(place, old):
    before = place.config.read_text()
    result = place.run("import", str(old), "--to", str(place.config))
    assert (result.code, result.err) == (
        64,
        f"holdstill: {place.config} is there already, and is not overwritten.\n",
    )
    assert place.config.read_text() == before


def test_a_folder_that_is_not_there_to_write_to_is_told(place, old):
    result = place.run("import", str(old), "--to", "/nonexistent/new.yaml")
    assert (result.code, result.err) == (
        74,
        "holdstill: /nonexistent/new.yaml cannot be written: No such file or directory.\n",
    )


def test_other_words_for_a_variable_can_be_given(place, old):
    (old / "host.conf").write_text("VG=othervg\n")
    assert place.run("import", str(old)).code == 78
    assert "disks: [/dev/othervg/web]" in place.run("import", str(old), "--rename", "VG=HOST_VG").out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["OLD", "--rename", "VG"], 64, "'VG' is not THEIRS=OURS"),
        (["OLD", "--rename", "VG=HSOT_VG"], 64, "no variable 'HSOT_VG'; did you mean 'HOST_VG'"),
        (["OLD/none"], 64, "does not exist"),
        (["/proc/self/fdinfo"], 66, "nothing to import"),
    ],
)
def test_what_it_cannot_read_is_told(place, old, words, code, said):
    result = place.run("import", *(word.replace("OLD", str(old)) for word in words))
    assert (result.code, result.out) == (code, "")
    assert said in result.err
