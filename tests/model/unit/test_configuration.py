"""The configuration as it is written: read with its lines, put together from files, refused with sentences."""

from __future__ import annotations

import os

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from holdstill import units
from holdstill.config.load import NoConfigError
from holdstill.config.model import Config, GuestConfig, JobConfig
from holdstill.errors import ConfigError, HoldstillError, PermissionRefusedError

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,20}", fullmatch=True)
scalars = st.one_of(
    st.text(), st.integers(-(2**63), 2**63), st.booleans(), st.none(), st.floats(allow_nan=False)
)
options = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
)
steps = st.one_of(st.text(min_size=1), st.dictionaries(st.text(), options, min_size=1, max_size=1))
guests = st.fixed_dictionaries(
    {"disks": st.lists(st.text(), max_size=3)},
    optional={"snapshot": steps, "open": st.lists(steps, max_size=4), "quiesce": st.lists(steps, max_size=2)},
)
times = st.one_of(st.integers(0, 10**6), st.sampled_from(["90s", "5m", "12h", "2d", "1.5h"]))
jobs = st.fixed_dictionaries(
    {"guests": st.lists(names, max_size=3)},
    optional={"backup": steps, "verify": st.lists(steps), "lease": times, "release-within": times},
)
configurations = st.fixed_dictionaries(
    {}, optional={"guests": st.dictionaries(names, guests), "jobs": st.dictionaries(names, jobs)}
)
TAGS = ["!!int ", "!!bool ", "!!set ", "!!binary ", "!!timestamp ", "!<x> "]
ODD = ["2024-99-99", "0b_", "1:1", ".inf", "~", "yes", "=", "\x00", "\ufeff", "\\x", "9" * 5000]
SIGNS = [*"\n[]{}\"'\t#~|>?*&", "  ", ": ", ":\n", "- ", ", ", "&a ", "*a", "|\n", ">-\n", "? ", "<<"]
WORDS = ["guests", "jobs", "web", "disks", "---\n", "...\n", "%YAML 1.1\n"]
pieces = st.lists(st.sampled_from([*TAGS, *ODD, *SIGNS, *WORDS]))


@given(configurations)
def test_every_valid_configuration_is_read_as_it_was_written(read_text, written):
    assert read_text(yaml.safe_dump(written)) == (_as_msgspec_reads(written), ())


@given(configurations, st.booleans())
def test_a_folder_of_files_says_what_one_file_with_all_of_it_says(
    read_place, tmp_path_factory, written, flow
):
    folder = tmp_path_factory.mktemp("folder", numbered=True)
    for section, entries in written.items():
        for number, (name, entry) in enumerate(entries.items()):
            text = yaml.safe_dump({section: {name: entry}}, default_flow_style=flow)
            (folder / f"{section}-{number}.yaml").write_text(text)
    if any(written.values()):
        assert read_place(folder) == (_as_msgspec_reads(written), ())


def _as_msgspec_reads(written):
    return msgspec.convert(written, Config, dec_hook=units.decode)


@given(st.one_of(st.text(st.characters()), st.binary(), pieces.map("".join)))
def test_no_text_whatsoever_is_answered_with_anything_but_sentences(read_text, text):
    _, complaints = read_text(text)
    for complaint in complaints:
        assert complaint.isprintable()
        assert "site.yaml" in complaint
        assert len(complaint.partition("site.yaml")[2]) > 10


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "---\n", "{}", "~", "\ufeff"])
def test_an_empty_file_is_an_empty_configuration(read_text, text):
    assert read_text(text) == (Config(), ())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("guests:\n  web: [\n", "3: this is not YAML: expected the node content, but found '<stream end>'"),
        ("guests:\n\tweb: {}\n", "2: this is not YAML: a tab; indent with spaces"),
        (
            "guests:\n  web:\n    disks: [a]\n   open: b\n",
            "4: this is not YAML: it is indented otherwise than",
        ),
        (
            "guests:\n  web: disks: [a]\n",
            "2: this is not YAML: a «:» that no key can have here; it is ind",
        ),
        ('guests:\n  web: {disks: ["a]}\njobs: {}\n', "2: this is not YAML: a quote that is never closed"),
        (
            "guests: {\n  web: {disks: [a}}\n",
            "2: this is not YAML: expected ',' or ']', but got '}' (the bracket is opened in line 2)",
        ),
        ("a: 1\n---\nb: 2\n", "2: this is not YAML: but found another document"),
        (b"guests: \xff\n", "this is not text in UTF-8, from byte 8 on"),
        ("guests: \x01\n", "this is not YAML: unacceptable character #x0001"),
        ("guests: " + "[" * 3000, "this is nested too deeply"),
        ("- guests\n", "1: a configuration begins with keys, such as 'guests:' and 'jobs:'"),
        ("jobs:\n  n:\n    lease: !!bool 5\n", "3: this value cannot be read"),
        ('jobs:\n  n:\n    lease: !!int ""\n', "3: this value cannot be read"),
        ("jobs:\n  n:\n    lease: !!python/name:os.system\n", "3: this value cannot be read"),
        ("jobs:\n  [n]: {}\n", "2: a key is a word, not a list or a mapping"),
    ],
)
def test_what_is_not_yaml_is_said_with_its_line(complaints, text, told):
    assert any(complaint.startswith(told) for complaint in complaints(text)), complaints(text)


@pytest.mark.parametrize(
    "text",
    [
        "jobs:\n  n: &n\n    guests: *n\n",
        "jobs: &j\n  n: *j\n  m: *j\n  o: *j\n",
        "jobs: &j [*j, *j, *j, *j, *j, *j, *j, *j, *j, *j]\n",
    ],
)
def test_a_value_that_contains_itself_is_refused(complaints, text):
    assert any("this is nested too deeply, or contains itself" in complaint for complaint in complaints(text))


def test_a_few_lines_that_mean_millions_of_values_are_refused(complaints):
    lines = ["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))]
    assert "this says more than 100000 values" in complaints("\n".join(lines))


def test_an_anchor_that_is_used_twice_is_two_values(read_text):
    config, wrong = read_text("guests:\n  a: &g {disks: [/a]}\n  b: *g\n")
    assert not wrong
    assert config.guests == {"a": GuestConfig(disks=["/a"]), "b": GuestConfig(disks=["/a"])}


# Keys


KEYS = {
    (): ["guests", "jobs"],
    ("guests", "web"): ["disks", "snapshot", "open", "quiesce"],
    ("jobs", "nightly"): ["guests", "backup", "verify", "lease", "release-within"],
}


@given(st.data())
def test_a_misspelt_key_is_named_with_its_line_and_the_right_one(read_text, data):
    route = data.draw(st.sampled_from(sorted(KEYS)))
    right = data.draw(st.sampled_from(KEYS[route]))
    wrong, comments = data.draw(_misspelt(right)), data.draw(st.integers(0, 5))
    opening = "".join(f"{'  ' * depth}{part}:\n" for depth, part in enumerate(route))
    text = "#\n" * comments + opening + f"{'  ' * len(route)}{wrong}: []\n"
    line = comments + len(route) + 1
    told = [complaint.partition("site.yaml:")[2] for complaint in read_text(text)[1]]
    where = ".".join(route) or "the configuration"
    assert f"{line}: {where} has no key {wrong!r}; did you mean {right!r}?" in told


def _misspelt(word):
    def swapped(at):
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]

    places = st.integers(0, len(word) - 2)
    doubled = places.map(lambda at: word[: at + 1] + word[at:])
    dropped = places.map(lambda at: word[:at] + word[at + 1 :])
    return st.one_of(places.map(swapped), doubled, dropped).filter(lambda wrong: wrong != word)


def test_a_key_that_is_like_no_other_gets_the_list_of_those_there_are(complaints):
    assert complaints("zzz: 1\n") == ["1: the configuration has no key 'zzz'; known are guests, jobs, around"]


def test_what_is_around_every_job_may_be_said_in_several_files(tmp_path, read_place):
    for number, text in enumerate(["around: [a, b]", "around: [c]", "around:"]):
        (tmp_path / f"{number}.yaml").write_text(text)
    config, complaints = read_place(tmp_path)
    assert config.around == ["a", "b", "c"]
    assert complaints == ()


def test_all_mistakes_are_said_at_once_each_with_its_line(complaints):
    told = complaints(
        """
        guests:
          web:
            disk: [/dev/vg/web]
          "a/b":
            disks: [/x]
        jobs:
          nightly:
            guests: [web, 5]
            lease: 5 minutes
            release-within: []
          weekly: everything
        hosts: {}
        """
    )
    assert told == [
        "12: the configuration has no key 'hosts'; known are guests, jobs, around",
        "3: guests.web has no key 'disk'; did you mean 'disks'?",
        "2: guests.web needs the key 'disks'",
        "8: jobs.nightly.guests.1: Expected text or a list, got a whole number",
        "9: jobs.nightly.lease: '5 minutes' is not a time; write seconds, or a unit of s, m, h, d: 90s, 5m, 12h",
        "10: jobs.nightly.release-within: [] is not a time; write seconds, or a unit of s, m, h, d: 90s, 5m, 12h",
        (
            "11: jobs.weekly has keys of its own (guests, backup, verify, around, lease, if-held, quiet-budget, "
            "backup-within, verify-within, release-within), not 'everything'"
        ),
        "4: 'a/b' cannot be a name: use letters, digits, '_', '.' and '-', at most 64",
    ]


def test_the_error_that_is_raised_has_every_complaint(read_text):
    _, complaints = read_text("a: 1\nb: 2\n")
    assert ConfigError(complaints).complaints == complaints
    assert str(ConfigError(complaints)).splitlines() == list(complaints)


@pytest.mark.parametrize("name", [".", "..", "../x", "a/b", "-x", "", "a b", "x" * 65, "ä", "a\n"])
@pytest.mark.parametrize("section", ["guests", "jobs"])
def test_what_cannot_name_a_folder_cannot_name_a_guest_or_a_job(read_text, section, name):
    entry = {"disks": []} if section == "guests" else {"guests": []}
    _, complaints = read_text(yaml.safe_dump({section: {name: entry}}, allow_unicode=True))
    assert any("cannot be a name" in complaint for complaint in complaints)


def test_a_key_that_is_written_twice_is_said_with_both_lines(complaints):
    told = complaints("guests:\n  web:\n    disks: [/a]\n  web:\n    disks: [/b]\n")
    assert len(told) == 1
    assert told[0].startswith("4: 'web' is written twice; the first one is at ")
    assert told[0].endswith("/site.yaml:2")


def test_values_that_fit_are_kept_beside_values_that_do_not(read_text):
    config, complaints = read_text("guests:\n  web:\n    disks: [5, /a, {}]\n")
    assert config.guests["web"].disks == ["/a"]
    assert len(complaints) == 2


# Files


def test_a_guest_in_two_files_is_said_with_both_places(read_place, tmp_path):
    (tmp_path / "a.yaml").write_text("guests:\n  web: {disks: [/a]}\n")
    (tmp_path / "b.yaml").write_text("#\nguests:\n  web: {disks: [/b]}\n")
    assert read_place(tmp_path)[1] == (
        f"{tmp_path}/b.yaml:3: 'web' is written twice; the first one is at {tmp_path}/a.yaml:2",
    )


@pytest.mark.parametrize("text", ["guests:\n", "guests: ~\n", "guests: {}\n", ""])
def test_an_empty_section_takes_nothing_away_from_another_file(read_place, tmp_path, text):
    (tmp_path / "a.yaml").write_text("guests:\n  web: {disks: [/a]}\n")
    (tmp_path / "b.yaml").write_text(text)
    assert read_place(tmp_path) == (Config(guests={"web": GuestConfig(disks=["/a"])}), ())


def test_a_mistake_in_one_file_does_not_hide_those_in_another(read_place, tmp_path):
    (tmp_path / "a.yaml").write_text("guests: [\n")
    (tmp_path / "b.yaml").write_text("jobz: {}\n")
    told = [complaint.removeprefix(f"{tmp_path}/") for complaint in read_place(tmp_path)[1]]
    assert [complaint[:8] for complaint in told] == ["a.yaml:2", "b.yaml:1"]


def test_files_that_are_not_yaml_by_name_are_not_read(read_place, tmp_path):
    (tmp_path / "a.yaml").write_text("jobs: {n: {guests: [web]}}\n")
    (tmp_path / "a.yaml~").write_text("[")
    (tmp_path / "README").write_text("[")
    (tmp_path / ".#a.yaml").symlink_to("root@host.4711:1")  # an editor's, while somebody edits the other one
    (tmp_path / ".b.yml").write_text("[")
    assert read_place(tmp_path) == (Config(jobs={"n": JobConfig(guests=["web"])}), ())


@pytest.mark.parametrize("place", ["nowhere.yaml", "nowhere", "a-file/x.yaml", "empty"])
def test_no_configuration_says_where_to_write_one(read_place, tmp_path, place):
    (tmp_path / "a-file").touch()
    (tmp_path / "empty").mkdir()
    with pytest.raises(NoConfigError, match="There is no configuration at") as caught:
        read_place(tmp_path / place)
    assert caught.value.code == 78


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777])
def test_a_file_that_others_may_write_is_refused_unread(read_place, tmp_path, mode):
    path = tmp_path / "site.yaml"
    path.write_text("jobz: {}\n")
    path.chmod(mode)
    config, [complaint] = read_place(path)
    assert config == Config()
    assert "others may write it" in complaint
    assert f"chmod go-w {path}" in complaint


def test_a_folder_that_others_may_write_is_refused(read_place, tmp_path):
    (tmp_path / "site.yaml").write_text("jobs: {}\n")
    tmp_path.chmod(0o777)
    assert [
        f"{tmp_path}: this is run as root, but others may write it" in told
        for told in read_place(tmp_path)[1]
    ] == [True]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(read_place, tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("jobs: {}\n")
    os.chown(path, 12345, -1)
    assert "chown root" in read_place(path)[1][0]


@pytest.mark.parametrize("other", ["a.yaml", "c.yaml"])
@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: path.symlink_to("nowhere")])
def test_a_file_of_a_folder_that_cannot_be_read_is_told_not_passed_over(read_place, tmp_path, make, other):
    (tmp_path / other).write_text("jobs: {}\n")
    make(tmp_path / "b.yaml")
    assert [told.partition(": ")[0] for told in read_place(tmp_path)[1]] == [f"{tmp_path}/b.yaml"]


def test_a_folder_that_only_root_may_read_says_so(read_place, tmp_path, mocker):
    mocker.patch("pathlib.Path.is_dir", side_effect=PermissionError(13, "Permission denied"))
    with pytest.raises(PermissionRefusedError, match="sudo"):
        read_place(tmp_path)
    assert issubclass(PermissionRefusedError, HoldstillError)
