"""From what is written of a job to steps of plugins that are there."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from holdstill.config.load import load
from holdstill.errors import ConfigError, NotFoundError
from holdstill.plugin import Duration, Role, RunInfo, Size, hookimpl
from holdstill.plugins.load import Found
from holdstill.plugins.registry import Registry
from holdstill.run.job import Resolver

INFO = RunInfo(id="1", job="nightly", trees="/trees/nightly")


class Table(msgspec.Struct, frozen=True):
    name: str
    rows: int = 1


class Options(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    copy_size: Size = Size(10, "ORIGIN")
    wait: Duration = Duration(5)
    mode: Literal["fast", "safe"] = "safe"
    words: tuple[str, ...] = ()
    tables: list[Table] = []
    target: str | Table = ""
    pair: tuple[str, int] = ("", 0)

    def __post_init__(self) -> None:
        if "never" in self.words:
            raise ValueError("'never' is no word")


class Copies:
    """A plugin that makes snapshots and opens them."""

    @hookimpl
    def holdstill_options(self):
        return Options

    @hookimpl
    def holdstill_snapshot(self, steps):
        return tuple((lambda _hold, step=step: step.disks) for step in steps)

    @hookimpl
    def holdstill_open(self, sources):
        return sources


class Program:
    """A plugin that backs up and verifies, without options."""

    @hookimpl
    def holdstill_make_backup(self):
        return {}

    @hookimpl
    def holdstill_verify_backup(self):
        return None


class Nonsense:
    """A plugin whose options are none."""

    @hookimpl
    def holdstill_options(self):
        return {"size": int}

    @hookimpl
    def holdstill_open(self, sources):
        return sources


@pytest.fixture
def resolve(tmp_path):
    """Resolve the job ``nightly`` of a guest with these lines; give the job and what is wrong."""
    plugins = Registry(
        [
            Found(name="copies", origin="test 1", plugin=Copies()),
            Found(name="program", origin="test 1", plugin=Program()),
            Found(name="nonsense", origin="test 1", plugin=Nonsense()),
            Found(name="shattered", origin="/etc/shattered.py", broken="ImportError: no flux"),
        ]
    )

    def resolved(guest="", job="", disks="[/dev/a]", more=""):
        lines = [
            "guests:",
            *(
                f"  {name}: {{disks: [/dev/{name}], open: [copies], snapshot: copies}}"
                for name in more.split()
            ),
            "  web:",
            f"    disks: {disks}",
            "    open: [copies]" if "open:" not in guest else "",
            "    snapshot: copies" if "snapshot:" not in guest else "",
            f"    {guest}",
            "jobs:",
            "  nightly:",
            "    guests: [web]" if "guests:" not in job else "",
            f"    {job}",
        ]
        path = tmp_path / "site.yaml"
        path.write_text("\n".join(lines))
        config, typist, complaints = load(path)
        made = Resolver(config, plugins, typist, INFO).job()
        try:
            complaints.raise_any()
        except ConfigError as error:
            return made, [told.removeprefix(f"{path}:") for told in error.complaints]
        return made, []

    return resolved


def test_a_step_is_its_plugin_with_its_options_typed(resolve):
    job, wrong = resolve("open: [copies: {copy-size: 5G, wait: 2m, words: [a, b], tables: [{name: x}]}]")
    assert not wrong
    [step] = job.guests[0].open
    assert (step.plugin, step.role, step.guest, step.run) == ("copies", Role.OPEN, "web", INFO)
    assert step.options == Options(
        copy_size=Size.parse("5G"), wait=Duration(120), words=("a", "b"), tables=[Table("x")]
    )


@pytest.mark.parametrize("written", ["copies", "{copies: }", "{copies: {}}", "[copies]", "[copies: {}]"])
def test_a_step_without_options_has_their_defaults(resolve, written):
    job, _ = resolve(f"open: {written}")
    assert [step.options for step in job.guests[0].open] == [Options()]


def test_a_value_of_several_types_is_fitted_to_the_one_it_is(resolve):
    [one, other] = resolve("open: [copies: {target: x}, copies: {target: {name: x}}]")[0].guests[0].open
    assert (one.options.target, other.options.target) == ("x", Table("x"))


def test_the_steps_of_a_guest_are_in_the_order_in_which_they_are_taken(resolve):
    [guest] = resolve("open: [copies: {wait: 1}, copies: {wait: 2}]")[0].guests
    assert [(step.role, float(step.options.wait)) for step in guest.steps] == [
        ("snapshot", 5),
        ("open", 1),
        ("open", 2),
    ]


def test_a_backup_that_can_verify_does_unless_told_otherwise(resolve):
    assert [step.plugin for step in resolve(job="backup: program")[0].verify] == ["program"]
    assert resolve(job="backup: program\n    verify: []")[0].verify == ()
    assert resolve()[0].verify == ()


@pytest.mark.parametrize(
    ("guest", "told"),
    [
        ("open: [copys]", "6: open: there is no plugin 'copys'; did you mean 'copies'?"),
        ("open: [program]", "6: open: the plugin 'program' does not do that"),
        ("quiesce: [copies]", "6: quiesce: the plugin 'copies' does not do that"),
        (
            "open: [shattered]",
            "6: the plugin 'shattered' (/etc/shattered.py) cannot be used: ImportError: no flux",
        ),
        (
            "open: [copies: 5]",
            "6: guests.web.open.0.copies has keys of its own (copy-size, wait, mode, words, ",
        ),
        ("open: [5]", "6: open is a plugin's name, or 'NAME: {options}', not 5"),
        ("open: [{copies: {}, program: {}}]", "6: open is a plugin's name, or 'NAME: {options}', not {"),
        ("snapshot: [copies, copies]", "6: snapshot is a plugin's name, or 'NAME: {options}', not ["),
        (
            "open: [copies: {copy-sise: 1G}]",
            "6: guests.web.open.0.copies has no key 'copy-sise'; did you mean 'copy-size'?",
        ),
        (
            "open: [copies: {copy-size: 1X}]",
            "6: guests.web.open.0.copies.copy-size: '1X' is not a size; write bytes",
        ),
        ("open: [copies: {copy-size: }]", "6: guests.web.open.0.copies.copy-size: None is not a size"),
        (
            "open: [copies: {wait: soon}]",
            "6: guests.web.open.0.copies.wait: 'soon' is not a time; write seconds",
        ),
        ("open: [copies: {mode: odd}]", "6: guests.web.open.0.copies.mode: 'odd' is none of fast, safe"),
        (
            "open: [copies: {mode: saef}]",
            "6: guests.web.open.0.copies.mode: 'saef' is none of fast, safe; did you mean 'safe'?",
        ),
        ("open: [copies: {mode: [fast]}]", "6: guests.web.open.0.copies.mode: a list is none of fast, safe"),
        ("open: [copies: {words: one}]", "6: guests.web.open.0.copies.words: Expected a list, got text"),
        ("open: [copies: {words: [never]}]", "6: guests.web.open.0.copies: 'never' is no word"),
        (
            "open: [copies: {pair: [a, b]}]",
            "6: guests.web.open.0.copies.pair: Expected a whole number, got text",
        ),
        (
            "open: [copies: {tables: [{rows: x}]}]",
            "6: guests.web.open.0.copies.tables.0 needs the key 'name'",
        ),
        (
            "open: [copies: {tables: [{rows: x}]}]",
            "6: guests.web.open.0.copies.tables.0.rows: Expected a whole number, got text",
        ),
        ("open: [nonsense]", "6: The plugin 'nonsense' answered holdstill_options with no msgspec.Struct."),
    ],
)
def test_a_step_that_cannot_be_is_told_with_its_line(resolve, guest, told):
    _, wrong = resolve(guest)
    assert any(complaint.startswith(told) for complaint in wrong), wrong


@pytest.mark.parametrize(
    ("disks", "told"),
    [
        ("[]", "a guest needs at least one disk"),
        ("[dev/a]", "the disk 'dev/a' is not an absolute path"),
        ("[5]", "Expected text, got a whole number"),
        ("[~]", "Expected text, got nothing"),
        ("/dev/a", "Expected a list, got text"),
        ("", "Expected a list, got nothing"),
    ],
)
def test_disks_that_cannot_be_are_told(resolve, disks, told):
    job, [wrong] = resolve(disks=disks)
    assert job is None
    assert wrong.startswith("3: ")
    assert told in wrong


@pytest.mark.parametrize(
    ("guests", "told"),
    [
        ("[]", ["the job 'nightly' has no guests"]),
        ("[wbe]", ["there is no guest 'wbe'; did you mean 'web'?"]),
        ("[5]", ["jobs.nightly.guests.0: Expected text or a list, got a whole number"]),
        ("[web, ~]", ["jobs.nightly.guests.1: Expected text or a list, got nothing"]),
        (
            "[wbe, wob]",
            ["there is no guest 'wbe'; did you mean 'web'?", "there is no guest 'wob'; did you mean 'web'?"],
        ),
    ],
)
def test_guests_that_are_not_there_are_told(resolve, guests, told):
    _, wrong = resolve(job=f"guests: {guests}")
    assert [complaint.partition(": ")[2] for complaint in wrong] == told


def test_what_is_wrong_with_all_steps_is_said_at_once(resolve):
    guest, job = (
        "snapshot: copys\n    open: [copys, program]",
        "backup: progam\n    verify: [copies]\n    lease: x",
    )
    lines = [complaint.partition(":")[0] for complaint in resolve(guest, job)[1]]
    assert sorted(lines) == ["11", "12", "13", "6", "7", "7"]


def test_a_job_that_is_not_there_is_named_with_those_that_are(tmp_path):
    path = tmp_path / "site.yaml"
    path.write_text("jobs: {nightli: {guests: []}, weekly: {guests: []}}\n")
    config, typist, _ = load(path)
    with pytest.raises(
        NotFoundError,
        match=r"There is no job 'nightly'; did you mean 'nightli'\? Known are: nightli, weekly",
    ):
        Resolver(config, Registry(), typist, INFO).job()


# Guests that are held at one moment


def test_guests_in_a_list_of_their_own_are_a_group(resolve):
    job, wrong = resolve(job="guests: [[web, other], third]", more="other third")
    assert not wrong
    assert [[guest.name for guest in group] for group in job.groups] == [["web", "other"], ["third"]]
    assert {step.group for guest in job.groups[0] for step in guest.steps} == {"web+other"}
    assert {step.group for step in job.groups[1][0].steps} == {"third"}


def test_a_guest_in_two_groups_is_named_twice(resolve):
    _, wrong = resolve(job="guests: [web, [web]]")
    assert [complaint.partition(": ")[2] for complaint in wrong] == ["'web' is named twice"]
