"""What the caller of ``post`` says of its backup: told to everybody, and no failure of holdstill's."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from holdstill.journal.verdicts import Verdict, leave_verdict, verdicts
from holdstill.plugin import CallerVerdict, hookimpl
from holdstill.plugins.load import Found
from holdstill.run import recover
from holdstill.testing import Trial, classic_disk
from holdstill.testing.machine import Machine
from holdstill_plugins.report import ends_of, text, title

CONFIGURATION = """
guests:
  web: {{disks: [/dev/hostvg/web]}}
jobs:
  nightly: {{guests: [web]}}
around:
  - prometheus: {{folder: {root}/textfiles}}
  - notify: {{urls: {root}/notify.urls}}
  - ping: {{url: {root}/ping.url}}
"""
OK, FAILED, UNKNOWN = CallerVerdict


class Listener:
    """Hears how runs end."""

    def __init__(self):
        self.heard = []

    @hookimpl
    def holdstill_finished(self, outcome):
        self.heard.append(outcome.caller_verdict)


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def trial(tmp_path, ear, listener):
    """A job on a modelled machine, of which everybody is told."""
    root = tmp_path / "machine"
    (root / "textfiles").mkdir(parents=True)
    for name, url in (("notify", f"json://{ear.at}/chat"), ("ping", f"http://{ear.at}/ping")):
        (root / f"{name}.urls").write_text(url)
        (root / f"{name}.urls").chmod(0o600)
    machine = Machine(root)
    machine.add_volume("hostvg/web", classic_disk())
    configuration = CONFIGURATION.format(root=root).replace("ping.url}", "ping.urls}")
    return Trial(machine, configuration, (Found(name="listener", origin="the test", plugin=listener),))


def figures(trial):
    exposition = (trial.machine.root / "textfiles" / "holdstill_nightly.prom").read_text()
    samples = [sample for family in text_string_to_metric_families(exposition) for sample in family.samples]
    return {
        (sample.name.removeprefix("holdstill_"), sample.labels.get("verdict")): sample.value
        for sample in samples
    }


def held_and_let_go_of(trial, verdict):
    assert trial.pre().ok
    [outcome] = trial.post(verdict=verdict)
    return outcome


@pytest.mark.parametrize("verdict", CallerVerdict)
def test_who_listens_hears_it_and_the_run_itself_is_well(trial, listener, verdict):
    outcome = held_and_let_go_of(trial, verdict)
    assert (outcome.ok, outcome.code, outcome.caller_verdict) == (True, 0, verdict)
    assert listener.heard == [verdict]
    assert trial.state()["volumes"] == trial.before["volumes"]


@pytest.mark.parametrize(("verdict", "end"), [(OK, "ok"), (UNKNOWN, "ok"), (FAILED, "failed")])
def test_only_a_failed_backup_is_told_as_a_failed_run(trial, verdict, end):
    assert ends_of(held_and_let_go_of(trial, verdict)) == {end}


def test_people_and_watchers_are_told_of_a_failed_backup_and_why(trial, ear):
    outcome = held_and_let_go_of(trial, FAILED)
    assert ear.paths() == ["/ping/start", "/chat", "/ping/fail"]
    assert title(outcome, "xen1") == "holdstill: nightly on xen1: failed"
    assert "Its caller says that the backup failed." in text(outcome, "xen1")
    assert all("Its caller says that the backup failed." in heard.body for heard in ear.heard[1:])


def test_a_backup_that_did_not_fail_is_pinged_as_a_good_one(trial, ear):
    held_and_let_go_of(trial, OK)
    assert ear.paths() == ["/ping/start", "/ping"]


def test_a_failed_backup_is_no_success_in_the_figures(trial):
    held_and_let_go_of(trial, OK)
    good = figures(trial)
    held_and_let_go_of(trial, FAILED)
    told = figures(trial)
    assert told["last_run_ok", None] == 0
    assert told["last_success_timestamp_seconds", None] == good["last_success_timestamp_seconds", None]
    assert told["last_run_exit_code", None] == 0


@pytest.mark.parametrize("said", CallerVerdict)
def test_the_figures_tell_what_was_said(trial, said):
    held_and_let_go_of(trial, said)
    told = figures(trial)
    assert {verdict: told["last_run_caller_verdict", verdict] for verdict in CallerVerdict} == {
        verdict: float(verdict is said) for verdict in CallerVerdict
    }


def test_where_nobody_called_nothing_was_said(trial, listener):
    assert trial.pre().ok
    trial.machine.kernel.boot += 1
    [outcome] = trial.recover()
    assert outcome.recovered
    assert listener.heard == [None]


def test_who_keeps_it_for_somebody_who_waits_does_not_take_it_itself(trial):
    site, kept = trial.site, []

    def keep(outcome):
        kept.append(outcome.run)
        leave_verdict(
            site.places.state, Verdict(run=outcome.run, job="nightly", session="default", sentence="bad")
        )

    site.unheard = keep
    trial.pre()
    [outcome] = recover.post(site, "nightly", "default")
    assert kept == [outcome.run]
    assert [one.run for _, one in verdicts(site.places.state)] == kept
