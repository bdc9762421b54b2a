"""A caller's words name a job and a session, and never a file."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdstill.cli.common import RUN_SESSION, session_key
from holdstill.config.load import load
from holdstill.errors import ConfigError, NotFoundError
from holdstill.host import detached
from holdstill.journal.shelf import holds, journals_in
from holdstill.journal.verdicts import Verdict, leave_verdict, take_verdicts
from holdstill.run.start import new_info, resolve
from holdstill.testing import classic_disk, trial_in

CONFIGURATION = """
guests:
  web: {disks: ["{root}/web.img"]}
jobs:
  nightly: {guests: [web]}
"""
NASTY = [
    "",
    ".",
    "..",
    "/",
    "/etc/passwd",
    "../nightly",
    "nightly/",
    "./nightly",
    "nightly/../nightly",
    "nightly\0",
    "nightly\n",
    "nightly ",
    "-v",
    "--config=/etc",
    "nightly.lock",
    "%i",
    "$HOME",
    "~",
    "n" * 300,
    "n" * 100_000,
    "n\N{FULLWIDTH LATIN SMALL LETTER N}",
    "\udcff",
    "\x1b[2J",
]
words = st.one_of(
    st.sampled_from(NASTY), st.text(), st.text("n./-\n\0", max_size=8), st.binary(max_size=8).map(os.fsdecode)
)
"What may come as an argument, and the like: bytes that are no text, too."
keys = words.filter(lambda word: word != RUN_SESSION).map(session_key)
"As the command line takes them."


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    """A machine with a job «nightly»."""
    return trial_in(
        tmp_path_factory.mktemp("names") / "machine",
        CONFIGURATION,
        lambda machine: machine.add_image(machine.root / "web.img", classic_disk()),
    )


def everything(trial):
    return sorted(map(str, trial.machine.root.parent.rglob("*")))


@given(words.filter(lambda word: word != "nightly"))
def test_a_job_that_is_not_in_the_configuration_is_no_job_and_makes_no_file(trial, word):
    before = everything(trial)
    for ask in (trial.pre, trial.post, trial.run, lambda job: resolve(trial.site, new_info(trial.site, job))):
        with pytest.raises(NotFoundError, match="There is no job"):
            ask(word)
    assert everything(trial) == before


@given(words)
def test_a_configuration_with_a_name_that_would_be_a_path_or_an_option_is_refused(tmp_path_factory, word):
    path = tmp_path_factory.mktemp("configuration") / "site.yaml"
    path.write_text(
        json.dumps({"jobs": {word: {"guests": [word]}}, "guests": {word: {"disks": ["/dev/a/b"]}}})
    )
    config, _, complaints = load(path)
    try:
        complaints.raise_any()
    except ConfigError:
        return
    for name in (*config.jobs, *config.guests):
        assert name not in {".", ".."}
        assert not name.startswith(("-", "."))
        assert name.isascii()
        assert not set("/\0\n %$~\\") & set(name)
        assert len(name) <= 64


@settings(max_examples=40)
@given(keys)
@pytest.mark.usefixtures("no_log")
def test_a_session_is_any_word_and_is_kept_as_it_is(trial, word):
    before = everything(trial)
    held = trial.pre(session=word)
    assert held.ok, held.sentence
    journals = [path for path in journals_in(trial.places.state).iterdir() if path.suffix == ".jsonl"]
    assert [path.stem for path in journals] == [held.run]
    [found] = holds(trial.places.state, trial.machine.boot)
    assert found.story.damage == ""
    assert found.story.header.session == word
    assert trial.post(session=f"{word}x") == []
    [let_go] = trial.post(session=word)
    assert let_go.ok
    assert set(everything(trial)) - set(before) <= made_once(trial)


def made_once(trial):
    """What the first run makes for all."""
    state = trial.places.state
    return {
        str(path)
        for path in (state, *state.rglob("*"))
        if path.is_dir() or path.name == "nightly.lock" or path.name.startswith("disk-")
    }


@given(keys)
def test_word_that_is_left_for_a_session_is_found_by_that_word_alone(trial, word):
    verdict = Verdict(run="20261125T013000Z00000000", job="nightly", session=word, sentence="It is spoiled.")
    leave_verdict(trial.places.state, verdict)
    assert take_verdicts(trial.places.state, "nightly", f"{word}x") == []
    assert take_verdicts(trial.places.state, "nightly", word) == [verdict]


@given(words)
def test_a_unit_is_named_by_what_a_unit_may_be_called(word):
    unit = detached._unit(f"release-{word}")
    assert unit.startswith("release-")
    assert unit.endswith(".service")
    assert unit.isascii()
    assert not set("/\0\n @%-"[:6]) & set(unit)
    assert len(unit) < 256
