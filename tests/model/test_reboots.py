"""The last resort: a reboot, only where it is wanted, once, for what blocks a backup, and never against anybody."""

from __future__ import annotations

import time

import msgspec
import pytest
from click.testing import CliRunner

from holdstill.errors import ConfigError, ExitCode, NotFoundError, StorageError
from holdstill.run.plan import plan
from holdstill.run.start import new_info, resolve
from holdstill.testing import Fault, Kind, Trial, classic_disk, trial_in
from holdstill_plugins import reboot
from holdstill_plugins.reboots import NOTE, Ledger, scheduled

CONFIGURATION = """
around: [{reboot: {OPTIONS}}]
guests:
  web: {disks: [/dev/hostvg/web], open: [partitions, guest-lv, mount]}
  db: {disks: [/dev/hostvg/db], open: []}
jobs:
  nightly: {guests: [web], release-within: 1s}
  payroll: {guests: [db]}
"""


def two_volumes(machine):
    machine.add_volume("hostvg/web", classic_disk())
    machine.add_volume("hostvg/db", classic_disk())


@pytest.fixture
def new_trial(tmp_path):
    def make(options: str = "really: true") -> Trial:
        return trial_in(tmp_path / "machine", CONFIGURATION.replace("OPTIONS", options), two_volumes)

    return make


def cannot_let_go(trial):
    """The job is held, and somebody keeps its tree open for ever; give how its release ends."""
    assert trial.pre().ok
    trial.machine.opened.add(f"{trial.places.trees}/nightly/web")
    [outcome] = trial.post()
    assert outcome.code == ExitCode.STILL_HELD
    return outcome


def asked_for(trial):
    """How often a reboot was asked for."""
    return sum(argv[:2] == ("shutdown", "-r") for argv in trial.machine.commands)


def ledger(trial):
    return Ledger(trial.places.state / "plugins" / "reboot", trial.machine)


def command(trial, *arguments):
    """Call «holdstill reboot»."""
    folder = trial.places.state / "plugins" / "reboot"
    made = reboot.holdstill_command(host=trial.machine, folder=folder)
    return CliRunner().invoke(made, arguments, catch_exceptions=False, standalone_mode=False).output


# Asking


def test_without_really_it_is_an_alarm_only(new_trial):
    trial = new_trial("delay: 10m")
    outcome = cannot_let_go(trial)
    assert "A reboot would let go of it; it is not asked for" in outcome.sentence
    assert "shutdown -r +10" in outcome.sentence
    assert asked_for(trial) == 0
    assert scheduled(trial.machine) is None


def test_a_reboot_is_asked_for_when_something_is_finally_held(new_trial):
    trial = new_trial("really: true, delay: 12m, message: 'because of {job}'")
    outcome = cannot_let_go(trial)
    [argv] = [argv for argv in trial.machine.commands if argv[:2] == ("shutdown", "-r")]
    assert argv[2] == "+12"
    assert argv[3].startswith("because of nightly ")
    assert f"({outcome.run})" in argv[3]
    assert "The host reboots at" in outcome.sentence


def test_no_reboot_is_asked_for_when_all_is_well(new_trial):
    trial = new_trial()
    assert trial.pre().ok
    assert [outcome.notes for outcome in trial.post()] == [[]]
    assert asked_for(trial) == 0


def test_it_is_remembered_before_it_is_asked_for(new_trial):
    trial = new_trial()
    cannot_let_go(trial)
    number = next(at for at, argv in enumerate(trial.machine.commands) if argv[:2] == ("shutdown", "-r"))
    trial.machine.root.rename(trial.machine.root.with_name("first"))
    trial = new_trial()
    trial.machine.commands.clear()
    trial.in_another_process(cannot_let_go, Fault(number, Kind.DIE_BEFORE))
    assert ledger(trial).last
    trial.machine.opened.add(f"{trial.places.trees}/nightly/web")
    [outcome] = trial.recover()
    assert "There will be no reboot: the last one was asked for" in outcome.sentence
    assert asked_for(trial) == 0


def test_it_is_asked_for_once(new_trial):
    trial = new_trial()
    cannot_let_go(trial)
    [outcome] = trial.recover()
    assert "The host reboots at" in outcome.sentence
    assert asked_for(trial) == 1


def test_it_is_asked_for_again_after_the_time_between_two(new_trial):
    trial = new_trial("really: true, at-most-every: 12h")
    cannot_let_go(trial)
    command(trial, "--cancel")
    for hours, times in ((11, 1), (13, 2)):
        last = ledger(trial).last
        ledger(trial).write(msgspec.structs.replace(last, at=time.time() - hours * 3600))
        trial.recover()
        assert asked_for(trial) == times


def test_one_that_cannot_be_asked_for_is_told_and_not_tried_again_at_once(new_trial):
    trial = new_trial()
    trial.machine.broken.add("shutdown")
    assert "could not be asked for" in cannot_let_go(trial).sentence
    [outcome] = trial.recover()
    assert "There will be no reboot" in outcome.sentence
    assert asked_for(trial) == 1


def test_nothing_is_asked_for_when_the_last_one_cannot_be_read(new_trial):
    trial = new_trial()
    folder = trial.places.state / "plugins" / "reboot"
    folder.mkdir(parents=True)
    (folder / NOTE).write_text("{")
    assert "Nothing was done about a reboot" in cannot_let_go(trial).sentence
    assert asked_for(trial) == 0
    with pytest.raises(StorageError, match="remove the file"):
        command(trial)


def test_that_nothing_is_asked_for_as_it_cannot_be_had_alone_is_told(new_trial):
    trial = new_trial()
    (trial.places.state / "plugins" / "reboot" / "asked-for.lock").mkdir(parents=True)
    outcome = cannot_let_go(trial)
    assert "Nothing was done about a reboot: The lock" in outcome.sentence
    assert "asked-for.lock cannot be made: Is a directory." in outcome.sentence
    assert asked_for(trial) == 0


def test_somebody_elses_is_left_alone(new_trial):
    trial = new_trial()
    trial.machine.run("shutdown", "-r", "+60", "for a new kernel")
    before = trial.machine.kernel.shutdown
    assert "somebody has scheduled a reboot" in cannot_let_go(trial).sentence
    assert trial.machine.kernel.shutdown == before
    with pytest.raises(NotFoundError, match="Somebody else"):
        command(trial, "--cancel")
    assert trial.machine.kernel.shutdown == before


def test_there_is_none_while_a_more_important_job_is_held(new_trial):
    trial = new_trial("really: true, never-during: [payroll]")
    assert trial.pre("payroll").ok
    assert "There will be no reboot: the job 'payroll' is at work" in cannot_let_go(trial).sentence
    trial.post("payroll")
    trial.recover()
    assert asked_for(trial) == 1


def test_it_is_called_off_when_a_more_important_job_begins(new_trial):
    trial = new_trial("really: true, never-during: [payroll]")
    cannot_let_go(trial)
    assert scheduled(trial.machine)
    assert trial.pre("payroll").ok
    assert scheduled(trial.machine) is None


def test_a_hold_of_another_job_that_is_only_tried_in_passing_is_no_reason(new_trial):
    trial = new_trial()
    assert trial.pre().ok
    trial.machine.opened.add(f"{trial.places.trees}/nightly/web")
    trial.in_another_process(lambda one: one.post(), Fault(0, Kind.DIE_BEFORE))
    trial.machine.opened.add(f"{trial.places.trees}/nightly/web")
    assert trial.pre("payroll").ok
    assert trial.held()
    assert asked_for(trial) == 0


# Looking back


def test_after_the_boot_it_is_told_that_it_helped(new_trial):
    trial = new_trial()
    cannot_let_go(trial)
    trial.machine.power_off()
    [outcome] = trial.recover()
    assert outcome.ok
    [note] = outcome.notes
    assert "helped: all that it held is let go of" in note
    assert trial.state() == trial.before


def test_after_the_boot_it_is_told_that_it_did_not_help(new_trial):
    trial = new_trial()
    cannot_let_go(trial)
    trial.machine.power_off()
    trial.machine.broken.add("lvremove")
    [outcome] = trial.recover()
    assert "did not help" in outcome.sentence
    assert asked_for(trial) == 1
    trial.machine.broken.clear()
    [outcome] = trial.recover()
    assert outcome.notes == [], "it is told once"


def test_it_is_called_off_when_all_is_let_go_of_meanwhile(new_trial):
    trial = new_trial()
    cannot_let_go(trial)
    trial.machine.opened.clear()
    [outcome] = trial.recover()
    assert outcome.ok
    assert "was called off" in outcome.notes[0]
    assert scheduled(trial.machine) is None


# The command


def test_the_command_tells_what_is_scheduled_and_calls_it_off(new_trial):
    trial = new_trial()
    assert command(trial) == "No reboot is scheduled.\n"
    outcome = cannot_let_go(trial)
    assert f"run {outcome.run} of job nightly" in command(trial)
    assert "is called off" in command(trial, "--cancel")
    assert scheduled(trial.machine) is None
    assert command(trial) == "No reboot is scheduled.\n"
    with pytest.raises(NotFoundError, match="No reboot is scheduled"):
        command(trial, "--cancel")


def test_one_that_somebody_called_off_by_hand_is_not_told_any_more(new_trial):
    trial = new_trial()
    cannot_let_go(trial)
    trial.machine.run("shutdown", "-c")
    assert command(trial) == "No reboot is scheduled.\n"


def test_without_logind_another_command_asks_for_it(new_trial):
    trial = new_trial("really: true, command: 'reboot-later {seconds}', cancel: reboot-never")
    calls = []
    for program in ("reboot-later", "reboot-never"):
        trial.machine.programs[program] = lambda words, program=program: calls.append([program, *words]) or 0
    cannot_let_go(trial)
    assert "The host reboots at" in command(trial)
    command(trial, "--cancel")
    assert calls == [["reboot-later", "600"], ["reboot-never"]]


def test_a_shutdown_that_could_not_be_known_again_is_refused(new_trial):
    trial = new_trial("command: shutdown -r +10")
    with pytest.raises(ConfigError, match=r"needs \{message\}"):
        resolve(trial.site, new_info(trial.site, "nightly"))


def test_a_plan_says_what_would_be_done(new_trial):
    trial = new_trial("really: false")
    info = new_info(trial.site, "nightly")
    [line] = plan(trial.site, info, resolve(trial.site, info)).around
    assert line.startswith(
        "reboot: if something is still held in the end: an alarm instead of «shutdown -r +10"
    )
