"""Secrets: where they come from, and that nothing but the place is ever told."""

from __future__ import annotations

import os

import pytest

from holdstill.errors import ExitCode, HoldstillError
from holdstill.host.real import RealHost
from holdstill_plugins import secret

WORD = "mailto://user:hunter2@example.org"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "notify.urls"
    path.write_text(f"# who is told\n\n  {WORD}  \njson://second\n")
    path.chmod(0o600)
    return path


# Where they come from


def test_a_file_is_read_without_its_comments_and_empty_lines(file):
    assert secret.lines(str(file), RealHost()) == (WORD, "json://second")


def test_a_credential_is_read_from_the_folder_that_systemd_names(file, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    assert secret.lines("credential:notify.urls", RealHost())[0] == WORD


def test_a_variable_is_read(monkeypatch):
    monkeypatch.setenv("NOTIFY", WORD)
    assert secret.lines("env:NOTIFY", RealHost()) == (WORD,)


def test_what_a_command_prints_is_read():
    assert secret.lines(f"command:printf '%s' '{WORD}'", RealHost()) == (WORD,)


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("#s3cret\n", "#s3cret"),
        (" a b \n", " a b "),
        ("# no comment\nsecond\n", "# no comment"),
        ("word", "word"),
    ],
)
def test_a_single_secret_is_the_first_line_as_it_is(file, text, first):
    file.write_text(text)
    assert secret.word(str(file), RealHost()) == first
    assert secret.complaints(str(file), RealHost()) == []


# What is refused


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602])
def test_a_file_that_others_may_read_or_write_is_refused(file, mode):
    file.chmod(mode)
    [complaint] = secret.complaints(str(file), RealHost())
    assert complaint.code == ExitCode.PERMISSION
    assert f"chmod 0600 {file}" in complaint.sentence
    with pytest.raises(HoldstillError):
        secret.lines(str(file), RealHost())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(file):
    os.chown(file, 1, 1)
    assert secret.complaints(str(file), RealHost())[0].code == ExitCode.PERMISSION


@pytest.mark.parametrize(
    "written", [WORD, "https://hc.example.org/uuid", "env:", "credential:../x", "command:", "command:'", ""]
)
def test_what_is_no_reference_is_refused_and_not_repeated(written):
    with pytest.raises(ValueError, match="not written here") as refused:
        secret.Reference.parse(written)
    assert "hunter2" not in str(refused.value)
    assert "uuid" not in str(refused.value)


def test_a_missing_file_an_empty_one_and_a_binary_one_are_complained_of(tmp_path):
    empty, binary = tmp_path / "empty", tmp_path / "binary"
    empty.touch()
    binary.write_bytes(b"\xff\xfe")
    for path in (empty, binary, tmp_path / "missing"):
        path.exists() and path.chmod(0o600)
        [complaint] = secret.complaints(str(path), RealHost())
        assert str(path) in complaint.sentence
        assert complaint.code == ExitCode.NO_INPUT


@pytest.mark.parametrize("text", ["", "\n", "\nsecond\n"])
def test_an_empty_first_line_is_no_secret(file, text):
    file.write_text(text)
    [complaint] = secret.complaints(str(file), RealHost())
    assert complaint.code == ExitCode.NO_INPUT
    assert f"nothing in the first line of {file}" in complaint.sentence


def test_a_list_of_comments_is_complained_of_where_a_list_is_read(file):
    file.write_text("# nothing yet\n")
    [complaint] = secret.complaints(str(file), RealHost(), secret.lines)
    assert f"nothing in {file}: it is empty, or has only comments" in complaint.sentence


def test_a_missing_program_is_complained_of_and_what_is_there_only_for_the_job_is_not():
    assert "no-such-program" in secret.complaints("command:no-such-program --print", RealHost())[0].sentence
    assert secret.complaints("env:NOT_SET_HERE", RealHost()) == []
    assert secret.complaints("credential:notify", RealHost()) == []


@pytest.mark.parametrize("written", ["env:NOT_SET_HERE", "credential:notify"])
def test_what_is_not_there_when_it_is_needed_is_an_error(written, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(HoldstillError, match="is not set"):
        secret.lines(written, RealHost())


def test_a_command_that_fails_does_not_tell_what_it_printed(file):
    with pytest.raises(HoldstillError, match="failed with status 3") as failed:
        secret.lines(f"command:sh -c 'cat {file}; exit 3'", RealHost())
    assert "hunter2" not in str(failed.value)


def test_a_command_that_does_not_come_to_an_end_is_said_to(monkeypatch):
    monkeypatch.setattr(secret, "PATIENCE", 0.1)
    with pytest.raises(HoldstillError, match=r"which should print a secret, did not end within 0\.1 s"):
        secret.word("command:sleep 600", RealHost())
