"""Backup software that calls: its configuration, printed; its hooks, answered; by our name or by its own."""

from __future__ import annotations

import re
import shlex
from contextlib import suppress
from pathlib import Path

import pytest

from holdstill.callers import Given, Target, caller, hook_of, names, snippet, words_of
from holdstill.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]
TARGET = Target(job="nightly", trees="/run/holdstill/nightly", guests=("web", "mail"))


# Its configuration


@pytest.mark.parametrize("name", names())
def test_every_caller_has_a_page_that_the_index_names(name):
    page = f"how-to/callers/{name}.md"
    assert (ROOT / "docs" / page).exists()
    assert f"({page})" in (ROOT / "docs/index.md").read_text()


@pytest.mark.parametrize("name", names())
def test_contrib_has_the_files_of_every_caller_and_no_others(name):
    assert {path.name for path in (ROOT / "contrib" / name).iterdir()} == {f.name for f in caller(name).FILES}


@pytest.mark.parametrize("name", names())
def test_nothing_is_left_to_fill_in(name):
    for file in caller(name).FILES:
        text = snippet(name, file, TARGET)
        assert not re.findall("@[A-Z_]+@", text)


def test_a_dot_in_a_pattern_is_a_dot():
    target = TARGET._replace(job="web.1", trees="/run/holdstill/web.1")
    [rules] = [file for file in caller("backuppc").FILES if file.name == "sudoers"]
    assert "--directory=/run/holdstill/web[.]1 " in snippet("backuppc", rules, target)


def test_the_configuration_calls_this_holdstill_with_these_places(place):
    printed = place.run("caller", "kopia", "nightly").out
    heading, *rest = printed.splitlines()
    assert heading.startswith("# policy.sh: ")
    assert shlex.join([*place.command, f"--config={place.config}"]) in printed
    assert place.run("caller", "kopia", "nightly", "--file", "policy.sh").out.splitlines() == rest


def test_the_usual_places_are_not_spelt_out(place):
    options = ["--config", str(place.config)]
    printed = place.shell([*place.command, *options, "caller", "kopia", "nightly"], env={}).out
    assert f"{place.command[0]} --config={place.config} hook" in printed
    assert "--state" not in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("kopja", "nightly"), "No caller is known as 'kopja'; did you mean 'kopia'?"),
        (("kopia", "nihgtly"), "There is no job 'nihgtly'; did you mean 'nightly'?"),
        (("kopia", "nightly", "--file", "x"), "kopia has no file 'x', but policy.sh"),
    ],
)
def test_what_there_is_no_configuration_for_is_said(place, words, said):
    result = place.run("caller", *words)
    assert (result.code in {64, 66}, result.out) == (True, "")
    assert said in result.err


# Its hooks


def test_a_hook_that_names_no_job_is_asked_for_it(place):
    result = place.run("hook", "kopia", "before")
    assert (result.code, result.out) == (64, "")
    assert "Which job? «holdstill hook --job=JOB kopia …» names it." in result.err


def test_a_hook_of_an_unknown_caller_is_wrong(place):
    assert place.run("hook", "kopja", "before").code == 64


def test_a_callers_own_options_are_not_taken_for_ours():
    assert words_of("holdstill-kopia.a.b", ["--job", "x"]) == ["hook", "--job=a.b", "kopia", "--job", "x"]


@pytest.mark.parametrize("name", ["holdstill-nobody", "hs", "kopia", "kopia.nightly", "holdstillkopia"])
def test_a_link_that_names_no_caller_is_holdstill(name):
    assert words_of(name, ["held"]) == ["held"]


@pytest.mark.parametrize("name", ["create_filesystem_snapshot", "create_filesystem_snapshot.a.b"])
def test_a_link_with_the_name_of_a_program_that_a_caller_looks_for_tells_the_hook_that_name(name):
    assert words_of(name, ["--job", "x"]) == ["hook", "urbackup", name, "--job", "x"]


def test_a_link_with_a_callers_name_is_its_hook(place):
    link = place.root / "holdstill-kopia.nightly"
    link.symlink_to(place.command[0])
    assert place.shell([str(link), "before"]).out == f"KOPIA_SNAPSHOT_PATH={place.trees}/nightly\n"
    assert place.shell([str(link), "after"]).silent
    assert place.left() == []


def test_hooks_say_what_they_cannot_make_sense_of():
    with pytest.raises(Exception, match="Kopia's action is 'before' or 'after', not 'afterwards'"):
        hook_of("kopia")(Given("nightly", ["afterwards"], {}))


HOOKS = [name for name in names() if hasattr(caller(name), "hook")]


@pytest.mark.parametrize("words", [[], [""], ["no such step", "--job", "x"], ["\udcff"] * 9])
@pytest.mark.parametrize("name", HOOKS)
def test_whatever_a_hook_is_given_it_answers_or_says_what_it_cannot_make_sense_of(name, words):
    with suppress(UsageError):
        assert hook_of(name)(Given("nightly", words, {})).do == ""


def test_a_hook_is_called_for_one_job(place):
    done = place.run("hook", "--job=nightly", "--job=other", "burp", "post", "0")
    assert (done.code, done.out) == (64, "")
    assert "--job is given more than once" in done.err
