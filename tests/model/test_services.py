"""The backup software's own service: stopped only if it keeps the trees open, and always started again."""

from __future__ import annotations

import pytest

from holdstill.errors import ConfigError, ExitCode
from holdstill.run.plan import plan, pretend
from holdstill.run.prepare import complaints_of
from holdstill.run.start import new_info, resolve
from holdstill.testing import Fault, Kind, Trial, classic_disk, trial_in

CONFIGURATION = """
guests:
  web: {disks: [/dev/hostvg/web], open: [partitions, guest-lv, mount]}
jobs:
  nightly:
    guests: [web]
    release-within: 1s
    around: {service: {OPTIONS}}
"""
UNIT = "bacula-fd.service"
STOP, START = ("systemctl", "stop", UNIT), ("systemctl", "start", UNIT)


def host_with_services(machine):
    machine.add_volume("hostvg/web", classic_disk())
    machine.add_service("bacula-fd")
    machine.add_service("bacula-sd")
    machine.add_service("amandad", script=True)


@pytest.fixture
def new_trial(tmp_path):
    """A host with services, and a job that knows some of them."""

    def make(options: str = "units: [bacula-fd], grace: 10s") -> Trial:
        return trial_in(tmp_path / "machine", CONFIGURATION.replace("OPTIONS", options), host_with_services)

    return make


def service(trial, name=UNIT):
    return trial.machine.kernel.services[name]


def tree(trial):
    return f"{trial.places.trees}/nightly/web"


def held_by(trial, *names):
    """The job is held, and services keep its tree open."""
    assert trial.pre().ok
    for name in names:
        service(trial, name).opens.add(tree(trial))
    trial.machine.commands.clear()
    return trial


def changes(trial):
    """What was done to services, in order."""
    return [
        argv for argv in trial.machine.commands if {"stop", "start"} & set(argv) and "losetup" not in argv
    ]


# Stopping


def test_a_service_that_keeps_nothing_open_goes_on(new_trial):
    trial = held_by(new_trial())
    [outcome] = trial.post()
    assert outcome.ok
    assert changes(trial) == []
    assert trial.machine.spent == 0


def test_a_service_that_lets_go_in_time_goes_on(new_trial, monkeypatch):
    trial = held_by(new_trial(), UNIT)
    pause = trial.machine.pause

    def the_job_ends(seconds, *, until=()):
        assert list(until) == [service(trial).pid], "its end would be noticed at once"
        if trial.machine.spent > 5:
            service(trial).opens.clear()
        return pause(seconds, until=until)

    monkeypatch.setattr(trial.machine, "pause", the_job_ends)
    [outcome] = trial.post()
    assert outcome.ok, outcome.sentence
    assert changes(trial) == []


def test_a_service_that_still_keeps_the_tree_open_is_stopped_and_started_again(new_trial):
    trial = held_by(new_trial(), UNIT)
    [outcome] = trial.post()
    assert outcome.ok, outcome.sentence
    assert changes(trial) == [STOP, START]
    assert trial.machine.spent >= 10
    assert trial.state() == trial.before


def test_it_is_started_when_all_is_let_go_of(new_trial):
    trial = held_by(new_trial(), UNIT)
    trial.post()
    names = [argv[0] for argv in trial.machine.commands]
    stopped, started = trial.machine.commands.index(STOP), trial.machine.commands.index(START)
    let_go = [number for number, name in enumerate(names) if name in {"umount", "lvremove"}]
    assert stopped < min(let_go) <= max(let_go) < started


def test_several_are_stopped_in_order_and_started_in_reverse(new_trial):
    options = "units: [bacula-sd, bacula-fd], scripts: [{name: amandad}], grace: 0"
    trial = held_by(new_trial(options), UNIT, "bacula-sd.service", "amandad")
    [outcome] = trial.post()
    assert outcome.ok, outcome.sentence
    verbs = [(argv[-1], argv[-2]) if argv[0] == "systemctl" else argv[::-1] for argv in changes(trial)]
    assert verbs == [
        ("bacula-sd.service", "stop"),
        (UNIT, "stop"),
        ("stop", "/etc/init.d/amandad"),
        ("start", "/etc/init.d/amandad"),
        (UNIT, "start"),
        ("bacula-sd.service", "start"),
    ]


def test_only_the_service_that_keeps_something_open_is_stopped(new_trial):
    trial = held_by(new_trial("units: [bacula-sd, bacula-fd], grace: 0"), UNIT)
    trial.post()
    assert changes(trial) == [STOP, START]


def test_nothing_is_stopped_for_a_process_of_nobodys(new_trial):
    trial = held_by(new_trial())
    trial.machine.opened.add(tree(trial))
    [outcome] = trial.post()
    assert outcome.code == ExitCode.STILL_HELD
    assert changes(trial) == []


def test_a_service_that_has_started_the_release_is_not_stopped(new_trial):
    for name, options in ((UNIT, "units: [bacula-fd]"), ("amandad", "scripts: [{name: amandad}]")):
        trial = held_by(new_trial(f"{options}, grace: 0"), name)
        trial.machine.called_by = name
        [outcome] = trial.post()
        assert "«holdstill post nightly --detach»" in outcome.sentence
        assert outcome.code == ExitCode.STILL_HELD
        assert changes(trial) == []
        service(trial, name).opens.clear()
        trial.machine.called_by = ""
        assert all(outcome.ok for outcome in trial.recover())
        trial.machine.root.rename(trial.machine.root.with_name(f"done-{name}"))


def test_a_stop_that_fails_is_tried_once_more(new_trial):
    trial = held_by(new_trial(), UNIT)
    trial.post()
    number = trial.machine.commands.index(STOP)
    held_by(trial, UNIT)
    trial.machine.fault = Fault(number, Kind.FAIL)
    [outcome] = trial.post()
    assert outcome.ok, outcome.sentence
    assert changes(trial) == [STOP, STOP, START]


def test_a_service_that_cannot_be_stopped_is_told_and_all_else_is_tried(new_trial):
    trial = new_trial("scripts: [{name: amandad, stop: broken-stop}], grace: 0")
    trial.machine.programs["broken-stop"] = lambda _arguments: 1
    held_by(trial, "amandad")
    [outcome] = trial.post()
    assert "broken-stop" in outcome.sentence
    assert [held.what for held in outcome.still_held if held.afterwards] == []
    assert outcome.code == ExitCode.STILL_HELD
    assert service(trial, "amandad").running


# Starting again


def test_a_service_that_does_not_come_back_is_an_alarm(new_trial):
    trial = held_by(new_trial("units: [bacula-fd], grace: 0"), UNIT)
    service(trial).starts = False
    [outcome] = trial.post()
    assert outcome.code == ExitCode.STILL_HELD
    assert f"{UNIT} does not come back" in outcome.sentence
    [held] = outcome.still_held
    assert held.afterwards
    assert held.by_hand == f"systemctl start {UNIT}"
    assert trial.held() == [held.what]
    assert changes(trial) == [STOP, START]


def test_recover_starts_what_did_not_come_back(new_trial):
    trial = held_by(new_trial("units: [bacula-fd], grace: 0"), UNIT)
    service(trial).starts = False
    trial.post()
    service(trial).starts = True
    [outcome] = trial.recover()
    assert outcome.ok, outcome.sentence
    assert trial.state() == trial.before


def test_a_service_that_was_started_by_hand_meanwhile_is_left_alone(new_trial):
    trial = held_by(new_trial("units: [bacula-fd], grace: 0"), UNIT)
    service(trial).starts = False
    trial.post()
    service(trial).running = True
    trial.machine.commands.clear()
    assert all(outcome.ok for outcome in trial.recover())
    assert changes(trial) == []


def test_a_service_that_is_ordered_after_us_is_left_to_systemd(new_trial):
    """Backup software is to start after what recovers at boot: to wait for it would be to wait for ever."""
    trial = held_by(new_trial("units: [bacula-fd], grace: 0"), UNIT)
    service(trial).after = "basic.target holdstill-recover.service"
    trial.machine.called_by = "holdstill-recover.service"
    [outcome] = trial.post()
    assert outcome.ok, outcome.sentence
    assert changes(trial) == [STOP, ("systemctl", "start", "--no-block", UNIT)]


def test_a_service_is_started_again_also_when_something_is_still_held(new_trial):
    trial = held_by(new_trial("units: [bacula-fd], grace: 0"), UNIT)
    trial.machine.broken.add("umount")
    [outcome] = trial.post()
    assert outcome.code == ExitCode.STILL_HELD
    assert service(trial).running
    assert not any(held.afterwards for held in outcome.still_held)


# Looking


def look(trial):
    info = new_info(trial.site, "nightly")
    run = pretend(trial.site, info, resolve(trial.site, info))
    return [complaint.sentence for complaint in complaints_of(run)]


def test_a_unit_that_is_not_there_is_told_before_anything_is_held(new_trial):
    assert look(new_trial("units: [bacula-fd, no-such]")) == [
        "The unit no-such.service cannot be stopped and started: systemd says «not-found»."
    ]


def test_a_script_that_is_not_there_is_told_before_anything_is_held(new_trial):
    assert look(new_trial("scripts: [{name: no-such}]")) == ["«/etc/init.d/no-such» is not installed."]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("grace: 60s", "it names no service"),
        ("units: [--all]", "is not the name of a service"),
        ("units: [a.timer]", "is not the name of a service"),
        ("units: [../../x]", "is not the name of a service"),
        ("scripts: [{name: ../x}]", "cannot be a service's name"),
        ("""scripts: [{name: x, stop: "kill 'x"}]""", "No closing quotation"),
    ],
)
def test_what_names_no_service_is_refused(new_trial, options, told):
    trial = new_trial(options)
    with pytest.raises(ConfigError, match=told):
        resolve(trial.site, new_info(trial.site, "nightly"))


def test_a_plan_says_what_may_be_stopped(new_trial):
    trial = new_trial()
    info = new_info(trial.site, "nightly")
    [line] = plan(trial.site, info, resolve(trial.site, info)).around
    assert "«systemctl stop bacula-fd.service»" in line
    assert changes(trial) == []
