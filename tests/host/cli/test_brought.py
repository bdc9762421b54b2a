"""Subcommands that plugins bring: found by the plugin's name, and loaded for nothing else."""

from __future__ import annotations

import pytest

COMMAND = """
import click
from holdstill.plugin import NotFoundError, hookimpl

@hookimpl
def holdstill_command(host, folder):
    @click.command()
    @click.argument("word")
    @click.option("--fail", is_flag=True)
    def command(word, fail):
        if fail:
            raise NotFoundError(f"There is no {word}.")
        click.echo(f"{host.ask('echo', word).out.strip()} {folder}")
        return 7
    return command
"""


@pytest.fixture
def brought(place):
    """A host with a plugin that brings the command «my-tool»."""
    place.plugin("my_tool", COMMAND)
    return place


def test_a_plugins_command_is_called_by_the_plugins_name(brought):
    result = brought.run("my-tool", "hello")
    assert (result.code, result.err) == (7, "")
    assert result.out == f"hello {brought.state}/plugins/my-tool\n"


def test_its_errors_are_sentences_with_their_exit_codes(brought):
    result = brought.run("my-tool", "key", "--fail")
    assert (result.code, result.err) == (66, "holdstill: There is no key.\n")


def test_it_has_help_and_its_options_are_checked(brought):
    assert "holdstill my-tool [OPTIONS] WORD" in brought.run("my-tool", "--help").out
    assert brought.run("my-tool").code == 64


def test_a_name_that_nobody_brings_is_told_with_the_nearest_command(place):
    result = place.run("hold")
    assert result.code == 64
    assert "There is no command 'hold'; did you mean 'held'?" in result.err


def test_a_plugin_without_a_command_brings_none(place):
    assert "There is no command 'stranger'" in place.run("stranger").err


def test_a_broken_plugin_says_why(place):
    place.plugin("my_tool", "import no_such_module")
    result = place.run("my-tool")
    assert result.code == 69
    assert "No module named 'no_such_module'" in result.err


def test_a_plugin_that_answers_something_else_is_a_defect(place):
    place.plugin(
        "my_tool",
        "from holdstill.plugin import hookimpl\n@hookimpl\ndef holdstill_command():\n    return 3\n",
    )
    result = place.run("my-tool")
    assert result.code == 70
    assert "not a click.Command" in result.err


@pytest.mark.parametrize(
    "arguments", [("--help",), ("--version",), ("held",), ("my-tool", "hello")], ids=lambda words: words[0]
)
def test_no_other_plugin_is_loaded(brought, arguments):
    loaded = brought.root / "loaded"
    brought.plugin("another", f"open({str(loaded)!r}, 'w').close()")
    brought.run(*arguments)
    assert not loaded.exists()


def test_the_list_of_plugins_tells_which_bring_one(brought):
    rows = {row["name"]: row["command"] for row in brought.run("plugins", "--json").json}
    assert rows["my-tool"] is True
    assert rows["stranger"] is False
    assert rows["reboot"] is True
    assert "«holdstill my-tool»" in brought.run("plugins").out
