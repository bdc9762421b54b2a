"""The proof on Xen: a guest that writes all the time is whole in each of its backups, and boots from one."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from ..campaign import samples
from ..guest_disk import new_tree, new_volume
from ..installed import Site, host_state
from ..system import run
from .guest import MARKER, Guest, Record, counter_of, fill, running

pytestmark = [pytest.mark.deadline(1800), pytest.mark.usefixtures("udev_rule")]

BACKUPS = samples(1, 10)
# So many records the guest writes undisturbed, that there is something to compare with.
UNDISTURBED = 50
Tell = Callable[[str, object], None]


@dataclass(frozen=True)
class Backup:
    """A backup that was made while the guest wrote."""

    archive: Path
    seconds: float
    # The last record that the guest had reported before it began, and those reported until it ended.
    before: Record
    meanwhile: list[Record]

    @cached_property
    def counter(self) -> int:
        """The counter in the archived record, which must be whole."""
        with tarfile.open(self.archive) as tar:
            record = tar.extractfile("./var/record")
            assert record
            return counter_of(record.read())


@pytest.fixture(scope="module")
def guest(hostvg: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """Start a guest, and let it write for a while."""
    disk = new_volume(hostvg, "xen_guest1")
    with new_tree(disk) as tree:
        fill(tree)
    with running("xen_guest1", disk, tmp_path_factory.mktemp("guest")) as guest:
        guest.wait_for_records(UNDISTURBED)
        yield guest


@pytest.fixture(scope="module")
def backups(guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> list[Backup]:
    """Back the guest up while it writes, one time after the other, and leave nothing on the host."""
    site = Site(tmp_path_factory.mktemp("site"))
    site.configure(guest.disk)
    before = host_state()
    backups = [back_up(site, guest) for _ in range(BACKUPS)]
    assert host_state() == before
    return backups


def back_up(site: Site, guest: Guest) -> Backup:
    """Make one backup, and take note of what the guest reports."""
    known, records, begin = set(site.archives.rglob("*.tar.gz")), guest.records(), time.monotonic()
    site.call("run", "nightly")
    seconds = time.monotonic() - begin
    [archive] = set(site.archives.rglob("*.tar.gz")) - known
    return Backup(archive, seconds, records[-1], guest.records()[len(records) :])


def test_each_backup_is_whole_and_not_older_than_its_beginning(
    backups: list[Backup], record_property: Tell
) -> None:
    counters = [backup.counter for backup in backups]
    assert [backup for backup in backups if backup.counter < backup.before.counter] == []
    assert counters == sorted(set(counters))
    record_property("seconds for each backup", [round(backup.seconds, 1) for backup in backups])


def test_the_guest_writes_on_and_sees_no_error(
    guest: Guest, backups: list[Backup], record_property: Tell
) -> None:
    assert all(backup.meanwhile for backup in backups)
    guest.wait_for_records(1)
    assert "could not write" not in guest.said()
    assert "error" not in guest.said()
    alone = [record.after for record in guest.records()[:UNDISTURBED]]
    record_property("longest that a record took in the guest, in seconds, left alone", max(alone))
    longest = [max(record.after for record in backup.meanwhile) for backup in backups]
    record_property("longest that a record took in the guest, in seconds, during each backup", longest)


def test_what_is_restored_boots(hostvg: str, backups: list[Backup], tmp_path: Path) -> None:
    disk = new_volume(hostvg, "restored")
    with new_tree(disk) as tree:
        run("tar", "--extract", "--file", backups[-1].archive, "--directory", tree)
    with running("restored", disk, tmp_path) as restored:
        restored.wait_for_records(1)
        assert f"up, with '{MARKER}' on /boot, going on from {backups[-1].counter}" in restored.said()
