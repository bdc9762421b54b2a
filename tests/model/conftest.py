"""Job shapes on the modelled machine, which several tests run."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

from holdstill.run import tend
from holdstill.testing import (
    Machine,
    Shape,
    classic_disk,
    layered_disk,
    partitioned_disk,
    plain_disk,
)

from . import doubles

settings.register_profile(
    "holdstill", deadline=None, database=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("holdstill")

JOB = """
jobs:
  nightly:
    guests: [{guests}]
    backup: {backup}
"""
COMMAND = "{command: {run: backup-program}}"


def _guest(name: str, disk: str, **steps: str) -> str:
    lines = [f"  {name}:", f"    disks: [{disk}]", *(f"    {role}: {step}" for role, step in steps.items())]
    return "\n".join(lines) + "\n"


def _image(machine: Machine) -> None:
    machine.add_image(machine.root / "web.img", classic_disk())


def _qcow2(machine: Machine) -> None:
    machine.add_qcow2(machine.root / "web.qcow2", classic_disk())


def _volume(machine: Machine) -> None:
    machine.add_volume("hostvg/web", classic_disk())


def _layered_image(machine: Machine) -> None:
    machine.add_image(machine.root / "web.img", layered_disk())


def _thin_volume(machine: Machine) -> None:
    machine.add_volume("hostvg/web", classic_disk(), pool="pool")


def _partitioned(machine: Machine) -> None:
    machine.add_image(machine.root / "web.img", partitioned_disk())


def _quiet_application(machine: Machine) -> None:
    """Have programs that make an application quiet, and let it go."""
    _volume(machine)
    machine.programs["hush"] = lambda _words: machine.kernel.frozen.add("application") or 0
    machine.programs["unhush"] = lambda _words: machine.kernel.frozen.discard("application") or 0


def _two_volumes(machine: Machine) -> None:
    machine.add_volume("hostvg/web", classic_disk())
    machine.add_volume("hostvg/db-1", plain_disk())


def _with_services(machine: Machine) -> None:
    _volume(machine)
    machine.add_service("bacula-fd")
    never_used = machine.add_service("bacula-sd")
    never_used.running = never_used.enabled = False
    machine.add_service("amandad", script=True)


def _read_by_services(machine: Machine) -> None:
    """Have them keep the tree open, unless the backup was left to itself and is over."""
    for mount in machine.kernel.mounts[:1] if not machine.started else ():
        machine.kernel.services["bacula-fd.service"].opens.add(mount.point)
        machine.kernel.services["amandad"].opens.add(mount.point)


def _job(guests: str, backup: str = COMMAND) -> str:
    return JOB.replace("{guests}", guests).replace("{backup}", backup)


SHAPES = {
    "an image, without device-mapper": Shape(
        "guests:\n" + _guest("web", "{root}/web.img") + _job("web"), _image, device_mapper=False
    ),
    "an image that is copied": Shape(
        "guests:\n" + _guest("web", "{root}/web.img") + _job("web"),
        _image,
        device_mapper=False,
        can_clone=False,
    ),
    "a qcow2 image": Shape(
        "guests:\n" + _guest("web", "{root}/web.qcow2", snapshot="qcow2") + _job("web"), _qcow2
    ),
    "a qcow2 image that is copied, with kpartx": Shape(
        "guests:\n"
        + _guest("web", "{root}/web.qcow2", snapshot="qcow2", open="[kpartx, guest-lv, mount]")
        + _job("web"),
        _qcow2,
        can_clone=False,
    ),
    "a logical volume": Shape("guests:\n" + _guest("web", "/dev/hostvg/web") + _job("web"), _volume),
    "a thin volume, with kpartx": Shape(
        "guests:\n" + _guest("web", "/dev/hostvg/web", open="[kpartx, guest-lv, mount]") + _job("web"),
        _thin_volume,
    ),
    "a mirror and a thin volume in an image": Shape(
        "guests:\n" + _guest("web", "{root}/web.img") + _job("web"), _layered_image
    ),
    "a guest's volume group, activated": Shape(
        "guests:\n" + _guest("web", "/dev/hostvg/web", open="[kpartx, guest-vg, mount]") + _job("web"),
        _volume,
    ),
    "an activated volume group on partitions by loop device": Shape(
        "guests:\n" + _guest("web", "/dev/hostvg/web", open="[partitions, guest-vg, mount]") + _job("web"),
        _volume,
    ),
    "file systems that must be looked into": Shape(
        "guests:\n" + _guest("web", "{root}/web.img") + _job("web"), _partitioned
    ),
    "two guests": Shape(
        "guests:\n" + _guest("web", "/dev/hostvg/web") + _guest("db", "/dev/hostvg/db-1") + _job("web, db"),
        _two_volumes,
    ),
    "two guests at one moment": Shape(
        "guests:\n" + _guest("web", "/dev/hostvg/web") + _guest("db", "/dev/hostvg/db-1") + _job("[web, db]"),
        _two_volumes,
    ),
    "a guest with two disks": Shape(
        "guests:\n"
        + _guest(
            "web",
            "/dev/hostvg/web, /dev/hostvg/db-1",
            open="[partitions, guest-lv, {mount: {leave-out: [disk2p1]}}]",
        )
        + _job("web"),
        _two_volumes,
    ),
    "services that keep the tree open": Shape(
        "guests:\n"
        + _guest("web", "/dev/hostvg/web")
        + _job("web")
        + "    around: {service: {units: [bacula-sd, bacula-fd], scripts: [name: amandad], grace: 0.05s}}\n",
        _with_services,
        backup=_read_by_services,
    ),
    "an application that a command makes quiet": Shape(
        "guests:\n"
        + _guest("web", "/dev/hostvg/web", quiesce="{before-and-after: {before: hush, after: unhush}}")
        + _job("web"),
        _quiet_application,
    ),
    "an application that need not become quiet": Shape(
        "guests:\n"
        + _guest(
            "web",
            "/dev/hostvg/web",
            quiesce="{before-and-after: {before: hush, after: unhush, if-not-quiet: crash-consistent}}",
        )
        + _job("web"),
        _quiet_application,
    ),
    "guests that are frozen from outside": Shape(
        "guests:\n"
        + _guest(
            "web",
            "/dev/hostvg/web",
            quiesce="[fsfreeze: {path: {root}/srv}, libvirt: {domain: web}, ssh-fsfreeze: {host: web, path: /},"
            " xen-pause: {domain: web}]",
            open="[]",
        )
        + _job("web"),
        doubles.frozen_from_outside,
    ),
    "databases": Shape(
        "guests:\n"
        + _guest(
            "web",
            "/dev/hostvg/web",
            quiesce="[redis, postgresql: {system-user: ''}, postgresql: {system-user: '', mode: backup}, mysql,"
            " mongodb, sqlite: {paths: [{root}/app.db]}, coprocess: {run: hush}]",
            open="[]",
        )
        + _job("web"),
        doubles.databases,
    ),
    "an archive": Shape(
        "guests:\n"
        + _guest("web", "/dev/hostvg/web", open="[partitions, mount: {root: disk1p1, beneath: {}}]")
        + _job("web", "{tar: {to: {root}/archives}}"),
        doubles.archived,
    ),
    "a run of which others are told": Shape(
        "guests:\n"
        + _guest("web", "/dev/hostvg/web", open="[]")
        + _job("web")
        + "    around: [prometheus: {folder: {root}/archives}, notify: {urls: {root}/notify.url},"
        " ping: {url: {root}/ping.url}, reboot: {really: true}]\n",
        doubles.told,
    ),
    "only a snapshot": Shape(
        "guests:\n" + _guest("web", "/dev/hostvg/web", open="[]") + _job("web"), _volume
    ),
}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES.keys())
def shape(request: pytest.FixtureRequest) -> Shape:
    """Each shape of a job in turn."""
    found: Shape = request.param
    return found


@pytest.fixture
def shapes() -> dict[str, Shape]:
    """All shapes, by name."""
    return SHAPES


@pytest.fixture(scope="session", autouse=True)
def nothing_is_flushed() -> Iterator[None]:
    """Keep what is written in memory: no model's power is cut, and waiting for the disk takes most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        yield


@pytest.fixture
def new_folder(tmp_path: Path) -> Callable[[], Path]:
    """A new folder at each call."""
    numbers = iter(range(1_000_000))
    return lambda: tmp_path / f"machine{next(numbers)}"


@pytest.fixture
def no_log() -> Iterator[None]:
    """Log nothing: a thousand runs say more than anyone reads, and that takes most of their time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.fixture
def nothing_is_tended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tend nothing by the clock: on a slow computer there would be other commands than on a quick one."""
    monkeypatch.setattr(tend, "FIRST_LOOK", 3600.0)
