"""Nothing stays frozen when holdstill is killed, wherever it is then, though nobody calls recover."""

from __future__ import annotations

import shutil

import pytest

from .scene import POINTS, WHILE_QUIET

KINDS = {
    "before-and-after": ("app", "before-and-after: {{before: {0} pause, after: {0} unpause}}"),
    "libvirt": ("virsh", "libvirt: {{domain: web}}"),
    "mongodb": ("mongosh", "mongodb"),
    "xen-pause": ("xl", "xen-pause: {{domain: web}}"),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", KINDS)
def test_what_a_command_has_frozen_goes_on(scene, disk, kind, point):
    command, step = KINDS[kind]
    scene.configure(disk, step.format(scene.gated(command)))
    process = scene.start_up_to(point)
    assert scene.quiet == (point in WHILE_QUIET)
    scene.kill(process, point)
    assert not scene.quiet
    assert scene.site.call("recover").returncode == 0
    assert not scene.quiet


@pytest.mark.parametrize("point", POINTS)
def test_a_file_system_is_thawed(scene, disk, mounted, point):
    real = f'{shutil.which("fsfreeze")} "$@"'
    scene.gated("fsfreeze", real, real)
    scene.configure(disk, mounted.step())
    process = scene.start_up_to(point)
    assert mounted.frozen == (point in WHILE_QUIET)
    scene.kill(process, point)
    assert not mounted.frozen
    assert scene.site.call("recover").returncode == 0
    assert not mounted.frozen
