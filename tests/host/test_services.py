"""A service of an init script's, with real processes that keep a real tree open."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdstill.host.real import RealHost
from holdstill.testing.disks import GuestDisk

from .conftest import Site

LIMIT = 90.0
"Seconds after which a condition that we wait for will not come."
DAEMON = """#!/bin/sh
# Its child reads the file, if it is there.
if [ -e "$1" ]; then sleep 1000 < "$1" & else sleep 1000 & fi
trap "kill $!" TERM
wait
"""
SCRIPT = """#!/bin/sh
alive() { grep --quiet --no-messages "^State:.[^Z]" "/proc/$(cat {pid} 2> /dev/null)/status"; }
case $1 in
    start)
        alive && exit
        setsid {daemon} {file} < /dev/null > /dev/null 2>&1 &
        echo $! > {pid} ;;
    stop)
        kill "$(cat {pid})"
        while alive; do sleep 0.05; done ;;
    status) alive || exit 3 ;;
esac
"""
CONFIGURATION = """
guests:
  web: {disks: [{disk}], open: [partitions, mount]}
jobs:
  nightly:
    guests: [web]
    release-within: 90s
    around:
      service:
        grace: 0.2s
        start-within: 90s
        scripts:
          - name: reader
            running: {script} status
            stop: {script} stop
            start: {script} start
            processes: [{pid}]
"""


class Service:
    """A service, as its init script knows it."""

    def __init__(self, folder: Path, file: Path) -> None:
        self._pid, daemon, self._tree = folder / "reader.pid", folder / "reader", file.parents[1]
        self.script = folder / "init"
        self._write(daemon, DAEMON)
        words = {"pid": self._pid, "daemon": daemon, "file": file}
        self._write(self.script, _filled(SCRIPT, words))
        self.words = {"script": self.script, "pid": self._pid}

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def call(self, verb: str) -> int:
        return subprocess.run([self.script, verb], check=False).returncode

    def reads(self) -> None:
        """Start it while the tree is there, and wait until it has a file of it open."""
        self.call("start")
        host, ends = RealHost(), time.monotonic() + LIMIT
        while not host.holders([str(self._tree)]):
            assert time.monotonic() < ends, "the service does not read"
            host.pause(0.02)

    @property
    def pid(self) -> str:
        return self._pid.read_text().strip()


def _filled(text: str, words: dict[str, Path]) -> str:
    for name, value in words.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text


@pytest.fixture
def service(site: Site, tmp_path: Path, new_disk: Callable[..., GuestDisk]) -> Iterator[Service]:
    """A service that reads the tree of the job «nightly», when it is started while that is held."""
    made = Service(tmp_path, site.trees / "nightly" / "web" / "etc" / "fstab")
    site.configure(_filled(CONFIGURATION, {"disk": new_disk(lvm=False).path, **made.words}))
    yield made
    made.call("stop")


def test_it_is_stopped_when_its_child_keeps_the_tree_open_and_started_again(
    site: Site, service: Service, host_state: Callable[[], dict[str, list[str]]]
) -> None:
    before = host_state()
    assert site.call("check").returncode == 0
    assert site.call("pre", "nightly").stderr == ""
    service.reads()
    first = service.pid
    assert site.call("post", "nightly", "--strict").stderr == ""
    assert service.call("status") == 0
    assert service.pid != first
    assert host_state() == before


def shorten(site: Site, limit: str, seconds: int) -> None:
    """Have the job wait for a short time for what will not come."""
    text = site.config.read_text()
    assert f"{limit}: 90s" in text
    site.configure(text.replace(f"{limit}: 90s", f"{limit}: {seconds}s"))


def test_it_is_not_stopped_for_a_process_that_is_not_its_own(site: Site, service: Service) -> None:
    service.call("start")
    first = service.pid
    shorten(site, "release-within", 2)
    assert site.call("pre", "nightly").stderr == ""
    descriptor = os.open(site.trees / "nightly" / "web", os.O_RDONLY)
    done = site.call("post", "nightly", "--strict")
    assert done.returncode == 81
    assert f"pid {os.getpid()}" in done.stderr
    assert service.pid == first
    os.close(descriptor)
    assert site.call("recover").returncode == 0


def test_one_that_does_not_come_back_is_an_alarm_until_it_runs(site: Site, service: Service) -> None:
    shorten(site, "start-within", 10)
    assert site.call("pre", "nightly").stderr == ""
    service.reads()
    works = service.script.read_text()
    service.script.write_text(works.replace("start)", "start) ;;\n    never)"))
    done = site.call("post", "nightly", "--strict")
    assert done.returncode == 81
    assert "reader does not come back" in done.stderr
    [held] = site.held()
    assert [one["by_hand"] for one in held["holds"]] == [f"{service.script} start"]  # type: ignore[attr-defined]
    service.script.write_text(works)
    assert site.call("recover").returncode == 0
    assert service.call("status") == 0
