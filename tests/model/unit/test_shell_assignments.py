"""Shell assignments, read without a shell: what is understood is what a real one makes of it; all else is left out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdstill.legacy.shell import Assignments

NAMES = ("A", "B", "AB")


def in_a_shell(folder: Path, text: str) -> dict[str, str] | None:
    """Give what a real shell makes of a script that calls no program; ``None`` if it does not get through it."""
    script = folder / "script"
    script.write_text(text)
    tell = "".join(f'printf "%s\\0" "${{{name}-unset}}"; ' for name in NAMES)
    done = subprocess.run(
        ["/bin/sh", "-c", f'. "$1"; {tell}', "sh", script],
        env={},
        capture_output=True,
        text=True,
        check=False,
    )
    told = done.stdout.split("\0")[:-1]
    found = {name: value for name, value in zip(NAMES, told, strict=False) if value != "unset"}
    return found if len(told) == len(NAMES) else None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("scripts")


PIECES = st.one_of(
    st.text("abz09_./:@%+,=-*?[]!^ü#", min_size=1, max_size=4).filter(lambda text: not text.startswith("#")),
    st.text('ab \n"\\$`;&|<>()~#*', max_size=5).map(lambda text: f"'{text}'"),
    st.sampled_from(list("\"'\\$ ;&|<>()~#`a\n")).map(lambda char: f"\\{char}"),
    st.lists(
        st.one_of(
            st.text("ab ';&|<>()~#*{}\n", max_size=4),
            st.sampled_from(["\\$", '\\"', "\\`", "\\\\", "\\a", "\\\n", "${A}", "$B "]),
        ),
        max_size=4,
    ).map(lambda parts: f'"{"".join(parts)}"'),
    st.sampled_from(["$A:", "${B}", "${AB}"]),
)
VALUES = st.lists(PIECES, max_size=4).map("".join)
LINES = st.tuples(st.sampled_from(["", "export "]), st.sampled_from(NAMES), VALUES).map(
    lambda parts: f"{parts[0]}{parts[1]}={parts[2]}"
)
SCRIPTS = st.lists(LINES, min_size=1, max_size=4).flatmap(
    lambda lines: st.sampled_from(["\n", "; ", " # why\n", "\n\n  "]).map(lambda between: between.join(lines))
)


@given(script=SCRIPTS)
@example(script="A=1 B=$A")
@example(script='A="\\a\\$B\\"\\\\"\\a\'\\a\'')
@example(script="export A='1 2' B=\"$A\"")
@example(script="A='x y'\nexport B=$A")
@settings(max_examples=60, derandomize=True)
def test_what_is_understood_is_what_a_shell_makes_of_it(folder, script):
    script = f"A='1 *'; B=2 AB=\n{script}"
    read = Assignments(script, {})
    told = in_a_shell(folder, script)
    assert told is not None
    assert read.values.items() <= told.items()
    assert read.values == told or ("export" in script and read.left_out)


@given(script=st.text("AB=$={}'\"\\ \n#;a*", max_size=25))
@settings(max_examples=100, derandomize=True)
def test_of_any_text_nothing_is_understood_that_a_shell_takes_otherwise(folder, script):
    told = in_a_shell(folder, script)
    read = Assignments(script, {}).values
    if told is not None:
        assert {name: value for name, value in read.items() if name in NAMES}.items() <= told.items()


@given(script=st.text(max_size=60))
def test_no_text_is_an_error(script):
    Assignments(script, {})


def why(script: str) -> list[tuple[int, str]]:
    return [(line, reason) for line, _, reason in Assignments(script, {}).left_out]


@pytest.mark.parametrize(
    "value",
    [
        "$(date)",
        "`date`",
        "$((512*63))",
        "${A:-b}",
        "$1",
        "~/x",
        "(a b)",
        '"$(date)"',
        "a>b",
        "'open",
        '"open',
        "$'a'",
    ],
)
def test_what_only_a_shell_could_tell_is_left_out_and_not_known_any_more(value):
    read = Assignments(f"AB=old\nA={value}\nB=2\nAB=$A", {"A": "1"})
    assert "A" not in read.values
    assert "AB" not in read.values
    assert read.left_out[0].line == 2


def test_a_variable_that_is_not_known_is_named():
    assert why("\nA=1\nB=$NOBODY/x") == [(3, "$NOBODY is not known here")]


@pytest.mark.parametrize(
    "line", ["echo A=1", "A=1 true", "[ -e /x ] && A=1", "A=1 && B=2", "A+=1", "A[1]=2", "./run me"]
)
def test_a_command_is_left_out_with_all_that_it_may_assign_and_the_next_line_is_read(line):
    read = Assignments(f"A=0\n{line}\nAB=after", {})
    assert read.values == ({"A": "0", "AB": "after"} if "A" not in line else {"AB": "after"})
    assert [left.text for left in read.left_out] == [line]


@pytest.mark.parametrize("line", ["echo start # it's fine", "true; # don't", 'true # "'])
def test_a_quote_in_a_comment_quotes_nothing(line):
    read = Assignments(f"{line}\nA=1 # don't\nB=2", {})
    assert read.values == {"A": "1", "B": "2"}
    assert [left.text for left in read.left_out] == [line]


@pytest.mark.parametrize("line", ["echo a#'", "echo \\ #'"])
def test_what_only_looks_like_a_comment_is_none(line):
    assert Assignments(f"{line}\nA=1\n'\nB=2", {}).values == {"B": "2"}


@pytest.mark.parametrize(
    "opening",
    [
        "if true; then", "for A in 1 2; do", "while true; do", "case $A in", "f() {", "{", "cat <<EOF", "true &&",
        "true |", "exit", "return 0", "unset A", 'A="$(cat', "B=1; if true; then", "B=(", "B=`cat",
    ],
)  # fmt: skip
def test_where_it_is_not_known_what_is_carried_out_the_rest_is_left_out(opening):
    read = Assignments(f"AB=1\nA=1\n{opening}\nA=2\n", {})
    assert "A" not in read.values
    assert read.values["AB"] == "1"
    assert "to the file's end" in read.left_out[-1].why
    assert "A" in read.left_out[-1].why.partition("and so with ")[2]
    assert "A" in read.unknown


def test_a_line_with_a_quote_that_is_not_closed_is_told_as_it_was_written():
    assert Assignments("A=1\nB='two\nC=3", {}).left_out[0].text == "B='two"


def test_what_is_assigned_afterwards_is_known_again():
    assert Assignments("A=$(date)\nB=$(date)\nA=1", {}).unknown == {"B"}


def test_where_each_was_assigned_and_what_was_made_of_others_is_told():
    read = Assignments('A=1\n\nB="$A"\nA=2\n', {"AB": "before"})
    assert read.lines == {"A": 4, "B": 3}
    assert read.used == {"A"}
    assert read.values == {"A": "2", "B": "1", "AB": "before"}
