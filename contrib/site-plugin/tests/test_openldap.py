"""What the plugin must stand, on a modelled machine that fails and dies at every command."""

from __future__ import annotations

from pathlib import Path

from holdstill.testing import Machine, Refused, Shape, Tool, Trial, plain_disk, plugins_in
from holdstill.testing.conformance import Conformance

NAME = "olcDatabase={1}mdb,cn=config"
CONFIGURATION = """
guests:
  directory: {disks: [/dev/hostvg/directory], quiesce: {openldap: {suffix: "dc=example,dc=org"}}}
jobs:
  nightly: {guests: [directory], backup: {command: {run: backup-program}}}
"""


def search(machine: Machine, arguments: list[str]) -> str:
    """Know one database."""
    if "(olcSuffix=dc=example,dc=org)" not in arguments:
        return ""
    return f"dn: {NAME}\nolcReadOnly: {machine.kernel.own['read-only']}\n\n"


def shell(machine: Machine, arguments: list[str]) -> str:
    """«ldapmodify», as the plugin calls it. slapd keeps its configuration: a boot changes nothing."""
    name, value = arguments[-2:]
    if name != NAME:
        raise Refused(32, "ldap_modify: No such object (32)")
    machine.kernel.own["read-only"] = value
    return f'modifying entry "{name}"\n'


def prepare(machine: Machine) -> None:
    """Give the machine a guest's disk, and slapd's tools."""
    machine.add_volume("hostvg/directory", plain_disk())
    machine.kernel.own["read-only"] = "FALSE"
    machine.tools = {"ldapsearch": Tool(search), "ldapmodify": Tool(shell), "sh": Tool(shell)}


class TestPlugins(Conformance):
    """All that every plugin must stand."""

    plugins = plugins_in(Path(__file__).parents[1])
    shapes = {"a directory": Shape(CONFIGURATION, prepare)}


def trial_of(folder: Path, configuration: str = CONFIGURATION) -> Trial:
    """Give a machine with the plugin at work."""
    return Shape(configuration, prepare).trial(folder / "machine", TestPlugins.plugins)


def read_only_at(trial: Trial, command: str) -> bool:
    """Run the job; tell whether the database was read-only at a command."""
    told = []
    trial.machine.witness = lambda: told.append(
        (trial.machine.commands[-1][0], trial.machine.kernel.own["read-only"])
    )
    assert trial.run().ok
    return (command, "TRUE") in told


def test_the_database_is_read_only_for_the_snapshot(tmp_path: Path) -> None:
    assert read_only_at(trial_of(tmp_path), "lvcreate")


def test_the_database_is_writable_while_it_is_backed_up(tmp_path: Path) -> None:
    assert not read_only_at(trial_of(tmp_path), "backup-program")


def test_what_somebody_else_has_made_read_only_stays_so(tmp_path: Path) -> None:
    trial = trial_of(tmp_path)
    trial.machine.kernel.own["read-only"] = "TRUE"
    assert trial.run().ok
    assert trial.machine.kernel.own["read-only"] == "TRUE"


def test_a_suffix_that_the_server_does_not_have_is_said_before_anything_is_held(tmp_path: Path) -> None:
    trial = trial_of(tmp_path, CONFIGURATION.replace("dc=org", "dc=com"))
    outcome = trial.run()
    assert "has no database with the suffix 'dc=example,dc=com'" in outcome.sentence
    assert not any(command[0] == "lvcreate" for command in trial.machine.commands)
