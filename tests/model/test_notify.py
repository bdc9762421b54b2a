"""``notify``: who is told of which end, what they read, and that telling changes nothing, even where it fails."""

from __future__ import annotations

import json
import os
import re
import time
from email import message_from_bytes, policy

import pytest
import structlog
from aiosmtpd.controller import Controller

from holdstill.errors import ExitCode
from holdstill.plugin import Outcome, UnavailableError, hookimpl
from holdstill.plugins.load import Found
from holdstill.run.outcome import Held
from holdstill.testing import Fault, Kind, Trial, classic_disk
from holdstill.testing.machine import Machine
from holdstill_plugins import notify, report

from ..ports import free_ports

CONFIGURATION = """
guests:
  web: {{disks: [/dev/hostvg/web]}}
jobs:
  nightly:
    guests: [web]
    backup: {{command: {{run: backup-program}}}}
    release-within: 0
around:
  notify: {{urls: {root}/notify.urls, deadline: {deadline}, {more}}}
"""


class Stuck:
    """Keeps everything from being let go of for a while."""

    def __init__(self):
        self.why = ""

    @hookimpl(wrapper=True)
    def holdstill_undo(self):
        if self.why:
            raise UnavailableError(self.why)
        return (yield)


@pytest.fixture
def stuck():
    return Stuck()


@pytest.fixture
def new_trial(tmp_path, ear, stuck):
    """A job on a modelled machine, of which somebody is told by webhook."""

    def make(*urls: str, deadline="30", more="again-after: 1d") -> Trial:
        root = tmp_path / "machine"
        root.mkdir()
        machine = Machine(root)
        machine.add_volume("hostvg/web", classic_disk())
        machine.programs["backup-program"] = lambda _trees: 0
        (root / "notify.urls").write_text("\n".join(urls or [f"json://{ear.at}/hunter2"]))
        (root / "notify.urls").chmod(0o600)
        text = CONFIGURATION.format(root=root, deadline=deadline, more=more)
        return Trial(machine, text, (Found(name="stuck", origin="the test", plugin=stuck),))

    return make


@pytest.fixture
def trial(new_trial):
    return new_trial()


def fails(_trees):
    """A backup that fails."""
    return 3


def messages(ear) -> list[dict[str, str]]:
    """What webhooks were told."""
    return [json.loads(one.body) for one in ear.heard]


def message(ear) -> str:
    """The one message, its title first."""
    [told] = messages(ear)
    return f"{told['title']}\n{told['message']}"


# Which ends are told


def test_nobody_is_told_of_a_good_run(trial, ear):
    assert trial.run().ok
    assert messages(ear) == []


def test_a_good_run_is_told_if_that_is_wished(new_trial, ear):
    assert new_trial(more="when: [ok]").run().ok
    assert ": done\n" in message(ear)


def test_a_failed_backup_is_told_with_its_reason(trial, ear):
    trial.machine.programs["backup-program"] = fails
    trial.run()
    assert re.match(r"holdstill: nightly on \S+: failed\n", message(ear))
    assert "backup: The backup command failed:" in message(ear)
    assert "Exit code 79." in message(ear)


def test_failures_are_not_told_if_only_good_ends_are_wished(new_trial, ear):
    trial = new_trial(more="when: [ok]")
    trial.machine.programs["backup-program"] = fails
    trial.run()
    assert messages(ear) == []


def test_a_run_that_is_refused_in_prepare_is_told(trial, ear):
    trial.machine.kernel.free["hostvg"] = 0
    assert trial.run().code == ExitCode.SNAPSHOT
    assert "prepare: " in message(ear)


def test_a_run_that_cannot_begin_as_the_job_is_busy_is_told(trial, ear):
    trial.pre(session="other")
    with pytest.raises(UnavailableError):
        trial.run()
    assert "is held for the session 'other'" in message(ear)


def test_what_is_still_held_is_told_with_its_reason_and_the_commands_in_order(trial, stuck, ear):
    stuck.why = "it is in use"
    outcome = trial.run()
    told = message(ear).splitlines()
    assert told[0].endswith("something is still held")
    commands = [told.index(f"  {held.by_hand}") for held in outcome.still_held]
    assert commands == sorted(commands)
    assert len(commands) > 3
    assert told.count("  because: it is in use") == len(commands)
    assert told[-1] == "  holdstill recover"


def test_a_run_that_what_is_still_held_keeps_from_beginning_is_told_with_the_commands(trial, stuck, ear):
    stuck.why = "it is in use"
    held = trial.run().still_held
    ear.heard.clear()
    with pytest.raises(Exception, match="still holds what could not be let go of"):
        trial.run()
    told = messages(ear)[-1]["message"].splitlines()
    assert [line for line in told if f"  {held[0].by_hand}" == line]
    assert told.index(f"  {held[0].by_hand}") < told.index(f"  {held[-1].by_hand}")


def test_a_post_that_cannot_let_go_is_told(trial, stuck, ear):
    trial.pre()
    stuck.why = "it is in use"
    trial.post()
    assert "something is still held" in message(ear)


def test_a_post_that_finds_the_snapshot_lost_is_told(trial, ear):
    trial.pre()
    next(volume for volume in trial.machine.kernel.volumes.values() if volume.room).invalid = True
    trial.post()
    assert "overflowed" in message(ear)


def test_a_killed_run_is_told_when_it_is_recovered(trial, ear):
    trial.in_another_process(Trial.run, Fault(len(commands_of_a_run(trial)) // 2, Kind.DIE_AFTER))
    assert messages(ear) == []
    trial.recover()
    assert re.match(r"holdstill: nightly on \S+: recovered\n", message(ear))


def commands_of_a_run(trial) -> list[object]:
    """The commands that a whole run takes."""
    trial.run()
    return list(trial.machine.commands)


def test_a_recover_that_cannot_let_go_is_told(trial, stuck, ear):
    trial.in_another_process(Trial.run, Fault(len(commands_of_a_run(trial)) // 2, Kind.DIE_AFTER))
    stuck.why = "it is in use"
    trial.recover()
    assert "something is still held" in message(ear)


def test_a_service_that_does_not_come_back_is_told(trial, ear):
    class Service:
        @hookimpl
        def holdstill_release(self, run):
            hold = run.hold("agent")
            hold.promise("the agent is stopped", by_hand="service agent start", afterwards=True)

        @hookimpl
        def holdstill_undo(self):
            raise UnavailableError("it does not start")

    trial._registry.add(Found(name="agent", origin="the test", plugin=Service()))
    trial.run()
    assert "the agent is stopped\n  because: it does not start\n  service agent start\n" in message(ear)


# How often


def test_what_is_tried_again_and_again_is_told_once(trial, stuck, ear):
    stuck.why = "it is in use"
    trial.run()
    for _ in range(3):
        trial.recover()
    assert len(messages(ear)) == 1


def test_it_is_told_again_after_a_while(new_trial, stuck, ear):
    trial = new_trial(more="again-after: 0")
    stuck.why = "it is in use"
    trial.run()
    trial.recover()
    assert len(messages(ear)) == 2


def test_a_clock_that_was_wrong_and_is_set_back_silences_nobody(trial, stuck, ear):
    stuck.why = "it is in use"
    trial.run()
    [remembered] = (trial.places.state / "plugins" / "notify").iterdir()
    in_ten_years = remembered.stat().st_mtime + 10 * 365 * 86400
    os.utime(remembered, (in_ten_years, in_ten_years))
    trial.recover()
    assert len(messages(ear)) == 2


def test_it_is_told_again_if_nobody_was_reached(trial, stuck, ear):
    stuck.why = "it is in use"
    ear.answers = [500]
    trial.run()
    trial.recover()
    trial.recover()
    assert len(messages(ear)) == 2


def test_it_is_told_when_nothing_is_held_any_more_and_then_forgotten(trial, stuck, ear):
    stuck.why = "it is in use"
    trial.run()
    stuck.why = ""
    trial.recover()
    assert [one["title"].rpartition(": ")[2] for one in messages(ear)] == [
        "something is still held",
        "recovered",
    ]
    assert list((trial.places.state / "plugins" / "notify").iterdir()) == []


# By mail


class Postbox:
    """Keeps what it gets."""

    def __init__(self):
        self.letters = []

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802  aiosmtpd's name
        self.letters.append(envelope)
        return "250 OK"


@pytest.fixture
def postbox():
    """A mail server on the loopback interface."""
    made = Postbox()
    [port] = free_ports(1)
    controller = Controller(made, hostname="127.0.0.1", port=port, ready_timeout=90)
    controller.start()
    made.at = f"127.0.0.1:{controller.port}"
    yield made
    controller.stop()


def test_a_mail_says_the_same_line_by_line(new_trial, postbox, stuck):
    trial = new_trial(f"mailto://{postbox.at}?from=xen1@example.org&to=root@example.org")
    stuck.why = "a <file> is open"
    held = trial.run().still_held
    [letter] = postbox.letters
    assert letter.rcpt_tos == ["root@example.org"]
    mail = message_from_bytes(letter.original_content or letter.content, policy=policy.default)
    assert mail["Subject"].endswith("something is still held")
    text = mail.get_body(("plain",)).get_content()
    assert f"\n  {held[0].by_hand}\n" in text.replace("\r\n", "\n")
    assert "because: a <file> is open" in text


# Telling fails


@pytest.fixture
def log():
    with structlog.testing.capture_logs() as events:
        yield events


def failed_run(trial: Trial) -> Outcome:
    """Do a run whose backup fails."""
    trial.machine.programs["backup-program"] = fails
    outcome = trial.run()
    assert [failure.phase for failure in outcome.failures] == ["backup"], "telling changes nothing"
    return outcome


def errors(log) -> list[dict[str, object]]:
    return [event for event in log if event["log_level"] == "error" and event["event"] != "failed"]


def test_one_who_cannot_be_told_is_logged_without_secrets_and_others_are_told(new_trial, ear, log):
    trial = new_trial(
        "json://user:hunter2@127.0.0.1:9/token99", f"json://{ear.at}", f"json://{ear.at}/refusing"
    )
    ear.answers = [403]
    failed_run(trial)
    [event] = errors(log)
    assert "1 (json)" in event["to"]
    assert len(event["to"]) == 2
    [told] = [one["to"] for one in log if one["event"] == "told"]
    assert not set(told) & set(event["to"])
    assert "hunter2" not in str(log)
    assert "token99" not in str(log)


def test_what_apprise_complains_of_is_logged_without_any_piece_of_the_urls(new_trial, ear, log):
    ear.answers = [403]
    failed_run(new_trial(f"json://{ear.at}/hunter2", "json://127.0.0.1:9/hunter2"))
    said = str(errors(log)[0]["apprise"])
    assert "403" in said
    assert "A Connection error occurred" in said
    assert "127.0.0.1" not in said


def test_one_who_does_not_answer_is_given_up_at_the_deadline(new_trial, ear, log):
    ear.silent.set()
    failed_run(new_trial(deadline="0.2"))
    [event] = errors(log)
    assert event["to"] == {"1 (json)": "no answer within 0.2 s"}


def test_urls_that_are_gone_by_then_are_logged(trial, log):
    def backup(_trees):
        (trial.machine.root / "notify.urls").unlink()
        return 3

    trial.machine.programs["backup-program"] = backup
    assert trial.run().code == ExitCode.BACKUP_FAILED
    [event] = errors(log)
    assert "notify.urls, which should hold a secret, cannot be read" in event["why"]


def test_a_full_or_read_only_state_folder_keeps_nobody_from_being_told(trial, stuck, ear):
    stuck.why = "it is in use"
    (trial.places.state).mkdir(exist_ok=True)
    (trial.places.state / "plugins").write_text("no folder can be made here")
    assert trial.run().still_held
    assert "something is still held" in message(ear)


# Before anything is done


def refusal(trial: Trial) -> str:
    outcome = trial.run()
    assert [failure.phase for failure in outcome.failures] == ["prepare"]
    return outcome.sentence


def test_without_apprise_the_job_is_refused_with_what_to_install(trial, monkeypatch):
    monkeypatch.setattr(notify, "find_spec", lambda _name: None)
    assert "-m pip install apprise" in refusal(trial)


def test_urls_that_apprise_does_not_understand_are_refused_and_not_repeated(new_trial, ear):
    said = refusal(new_trial(f"json://{ear.at}", "nonsense://hunter2"))
    assert "URL 2 (nonsense)" in said
    assert "hunter2" not in said


def test_a_program_that_should_print_the_urls_and_is_missing_is_refused(trial):
    config = trial.places.config
    config.write_text(
        config.read_text().replace(f"{trial.machine.root}/notify.urls", "'command:no-such-program'")
    )
    assert "«no-such-program» is not installed" in refusal(trial)


def test_urls_that_others_may_read_are_refused(trial):
    (trial.machine.root / "notify.urls").chmod(0o644)
    assert "chmod 0600" in refusal(trial)


def test_a_url_in_the_configuration_is_refused_with_its_line_and_not_repeated(new_trial):
    trial = new_trial()
    config = trial.places.config
    config.write_text(config.read_text().replace(f"{trial.machine.root}/notify.urls", "'json://x/hunter2'"))
    with pytest.raises(
        Exception, match=r"holdstill.yaml:\d+: .*not written here, but where it is"
    ) as refused:
        trial.run()
    assert "hunter2" not in str(refused.value)


def test_journals_hold_the_reference_only(trial):
    trial.pre()
    [journal] = trial.places.state.glob("journals/*.jsonl")
    assert "notify.urls" in journal.read_text()
    assert "hunter2" not in journal.read_text()


# The text


def test_what_a_guest_wrote_cannot_forge_a_line():
    outcome = Outcome(run="r", job="nightly", session="s", started=time.time())
    outcome.still_held = [
        Held(what="mount at /x\nholdstill: all is well", by_hand="umount /x", why="\x1b[2J")
    ]
    said = report.text(outcome, "xen1").splitlines()
    assert not any(line.startswith("holdstill: all is well") for line in said)
    assert "\x1b" not in "".join(said)
