"""One director of Bacula, and a file daemon on each of the fleet's hosts, as docs/how-to/fleet.md says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ..callers.bacula import FILE, Bacula, Network, Result
from ..callers.gate import eventually
from ..compared import assert_has_the_guests_files
from .hosts import ADDRESS, Box, Fleet, entering
from .owner import told

pytestmark = pytest.mark.usefixtures("installed")

CLIENT = "Client {{ Name = {name}-fd; Address = {address}; Catalog = MyCatalog; Password = secret }}\n"
LISTENS = ":238E 00000000:0000 0A "
"Port 9102 in /proc/net/tcp."


@pytest.fixture(scope="module")
def bacula(tmp_path_factory: pytest.TempPathFactory, fleet: Fleet) -> Iterator[Bacula]:
    """The director, with the jobs that are on the page, and a file daemon on each host."""
    boxes = fleet.boxes.values()
    clients = "".join(CLIENT.format(name=box.name, address=box.address) for box in boxes)
    network = Network(ADDRESS, entering(fleet.controller, "net"), Path(f"/proc/{fleet.controller}/net/tcp"))
    made = Bacula(
        tmp_path_factory.mktemp("bacula"),
        client="here-fd",
        jobs=clients + told("text", "FileSet"),
        network=network,
    )
    for box in boxes:
        start_file_daemon(box)
    try:
        made.start("sd", "dir")
        yield made
    finally:
        made.kill("sd", "dir")


def start_file_daemon(box: Box) -> None:
    configuration = FILE.format(client=f"{box.name}-fd", address="0.0.0.0", file=9102, folder="/run")  # noqa: S104
    (box.root / "run/bacula-fd.conf").write_text(configuration)
    started = box.call("/usr/sbin/bacula-fd", "-c", "/run/bacula-fd.conf")
    assert started.returncode == 0, started.stderr
    eventually(lambda: LISTENS in box.sockets.read_text())


def run_all(bacula: Bacula, fleet: Fleet) -> dict[str, tuple[int, Result]]:
    """Run the jobs of all hosts at the same time; give their ids and how they ended."""
    jobs = {name: bacula.start_job(name) for name in fleet.boxes}
    return {name: (job, bacula.end_of(job)) for name, job in jobs.items()}


def test_each_host_holds_its_guests_for_its_own_job_and_what_is_restored_is_what_they_had(
    bacula, fleet, trees
):
    ended = run_all(bacula, fleet)
    assert {name: result.status for name, (_, result) in ended.items()} == dict.fromkeys(fleet.boxes, "T"), (
        bacula.log()
    )
    for name, box in fleet.boxes.items():
        restored = bacula.restore(ended[name][0], f"{name}-fd")
        assert_has_the_guests_files(Path(f"{box.root}{restored}/run/holdstill/bacula/web"), trees)
        assert box.call("holdstill", "held").stdout == "Nothing is held.\n"


def test_a_host_that_cannot_hold_its_guests_fails_its_own_job_only(bacula, fleet):
    disk = fleet.boxes["xen2"].root / "srv/images/web.img"
    away = disk.rename(disk.with_suffix(".away"))
    try:
        ended = run_all(bacula, fleet)
    finally:
        away.rename(disk)
    assert {name: result.status for name, (_, result) in ended.items()} == {
        "xen1": "T",
        "xen2": "f",
        "xen3": "T",
    }
    assert ended["xen2"][1].files == 0
    assert "xen2-fd JobId" in bacula.log()
    assert (
        "ClientBeforeJob: holdstill: /srv/images/web.img, a disk of guest web, does not exist" in bacula.log()
    )
    assert [box.call("holdstill", "held").stdout for box in fleet.boxes.values()] == [
        "Nothing is held.\n"
    ] * 3
