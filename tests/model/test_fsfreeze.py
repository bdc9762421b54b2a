"""What fsfreeze is not to freeze: a file system that LVM freezes by itself, and cannot twice."""

from __future__ import annotations

from holdstill.errors import ExitCode
from holdstill.testing import plain_disk, trial_in
from holdstill.testing.kernel import Mount

JOB = """
guests:
  db:
    disks: [/dev/hostvg/db]
    mounted-here: true
    quiesce: {fsfreeze: {path: /srv/db}}
    open: []
jobs:
  nightly:
    guests: [db]
    backup: {command: {run: backup-program}}
"""


def trial(folder, mounted):
    """A host on which a volume is mounted at /srv/db."""

    def prepare(machine):
        for name in ("db", "other"):
            machine.add_volume(f"hostvg/{name}", plain_disk())
        machine.kernel.mounts.append(Mount("/srv/db", mounted))
        machine.programs |= {"backup-program": lambda _: 0, "fsfreeze": lambda _: 0}

    return trial_in(folder / "machine", JOB, prepare)


def test_the_guests_own_volume_is_refused(tmp_path):
    outcome = trial(tmp_path, "/dev/hostvg/db").run()
    assert outcome.code == ExitCode.UNAVAILABLE
    assert "/srv/db lies on /dev/hostvg/db of guest db itself: LVM freezes it" in outcome.sentence


def test_another_volume_is_frozen_around_the_snapshot(tmp_path):
    on = trial(tmp_path, "/dev/hostvg/other")
    assert on.run().ok
    words = [command[:2] for command in on.machine.commands]
    freeze, snapshot, thaw = (
        words.index(("fsfreeze", "--freeze")),
        next(number for number, word in enumerate(words) if word[0] == "lvcreate"),
        words.index(("fsfreeze", "--unfreeze")),
    )
    assert freeze < snapshot < thaw
