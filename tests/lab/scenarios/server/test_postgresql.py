"""PostgreSQL at work, its data and its WAL on two volumes: the backup has all that was committed before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..installed import Site, host_state
from ..system import run
from .cluster import VERSION, Client, cluster, restore, sql

pytestmark = pytest.mark.usefixtures("udev_rule", "volumes")

CONFIGURATION = """
guests:
  db:
    disks: [{data}, {wal}]
    mounted-here: true
    snapshot: {{lvm: {{size: 64M}}}}
    quiesce: [{quiesce}]
    open: [partitions, mount: {{root: disk1, beneath: {{/wal: disk2}}}}]
jobs:
  nightly:
    guests: [db]
    backup: {{tar: {{to: {archives}}}}}
"""
TIME = "within: 5m, at-most: 5m"
"Enough in emulation."
# The last step before the snapshot: it asks what has been committed.
LAST = """#!/bin/sh
runuser --user postgres -- psql -qAtc 'SELECT max(n) FROM numbers' > {committed}
echo ready
cat
"""


@pytest.fixture(scope="module")
def volumes(hostvg: str) -> Iterator[dict[str, Path]]:
    """The server's two volumes."""
    with cluster(hostvg) as made:
        yield made


@pytest.mark.parametrize(
    "quiesce", [[f"postgresql: {{{TIME}}}"], []], ids=["with a checkpoint", "without quiescing"]
)
def test_a_restored_server_has_all_that_was_committed_before_the_snapshot(
    site: Site,
    volumes: dict[str, Path],
    quiesce: list[str],
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    committed, last = tmp_path / "committed", tmp_path / "last"
    last.write_text(LAST.format(committed=committed))
    last.chmod(0o755)
    steps = ", ".join([*quiesce, f"coprocess: {{run: {last}, {TIME}}}"])
    site.write(CONFIGURATION.format(**volumes, quiesce=steps, archives=site.archives))
    before = host_state()
    with Client() as client:
        outcome = site.outcome("nightly")
        client.goes_on()
    assert outcome["ok"], outcome
    assert list(outcome["frozen_seconds"]) == ["db"]
    assert host_state() == before
    record_property("seconds for which both volumes were frozen", outcome["frozen_seconds"])
    record_property("the client's longest wait in seconds", max(client.waits))

    [archive] = site.archives.rglob("*.tar.*")
    assert "automatic recovery in progress" in restore(archive)
    count, highest = map(int, sql("SELECT count(*), max(n) FROM numbers").split("|"))
    assert count == highest, "what one client committed in turn is there without a hole"
    assert int(committed.read_text()) <= highest < client.confirmed
    amcheck = f"/usr/lib/postgresql/{VERSION}/bin/pg_amcheck"
    sound = ("--install-missing", "--heapallindexed", "--rootdescend")
    run("runuser", "--user", "postgres", "--", amcheck, *sound, "postgres")
