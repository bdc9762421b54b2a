"""A file system of this host, frozen for the snapshot only, and let go of whoever is killed."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from .file_system import MIB, FileSystem
from .processes import processes_with
from .scene import eventually


def step(mounted, more=""):
    return f"fsfreeze: {{path: {mounted.path}{more}}}"


def kill(*pids):
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def guards(mounted):
    found = processes_with("thaw_guard.py", str(mounted.path))
    assert found
    return found


def test_it_is_frozen_while_the_snapshot_is_made_and_not_while_the_backup_runs(scene, disk, mounted):
    scene.configure(disk, step(mounted))
    assert not mounted.frozen
    process = scene.start()
    assert scene.reached("snapshot")
    assert mounted.frozen
    scene.go_on("snapshot")
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert not mounted.frozen
    assert "fsfreeze" in [one["plugin"] for one in json.loads(out)["applications"]]


def test_it_is_thawed_when_holdstill_is_killed_before_the_kernel_has_frozen_it(scene, disk, tmp_path):
    """The kernel writes what is not yet written first; here it cannot, until we let it."""
    below = FileSystem(tmp_path, "below", 64 * MIB)
    mounted = FileSystem(below.path)
    (mounted.path / "unwritten").write_bytes(b"x" * MIB)
    below.freeze()
    try:
        scene.configure(disk, step(mounted))
        process = scene.start()
        freezing = ("fsfreeze", "--freeze", str(mounted.path))
        assert eventually(lambda: [pid for pid in processes_with(*freezing) if is_waiting(pid)])
        kill(process.pid)
        process.communicate()
    finally:
        below.thaw()
    assert eventually(lambda: not processes_with(*freezing))
    assert eventually(lambda: not processes_with("thaw_guard.py", str(mounted.path)))
    assert not mounted.frozen
    assert scene.site.call("recover").returncode == 0
    mounted.unmount()
    below.unmount()


def is_waiting(pid):
    """Whether a process is in an uninterruptible wait (proc_pid_stat(5))."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "D"
    except OSError:
        return False


def test_it_is_thawed_by_the_run_when_the_guard_is_killed(scene, disk, mounted):
    scene.configure(disk, step(mounted))
    process = scene.start()
    assert scene.reached("snapshot")
    kill(*guards(mounted))
    scene.go_on("snapshot")
    process.communicate(timeout=90)
    assert not mounted.frozen
    assert scene.site.held() == []


def test_it_is_thawed_by_recover_when_both_are_killed(scene, disk, mounted):
    scene.configure(disk, step(mounted))
    process = scene.start()
    assert scene.reached("snapshot")
    kill(*guards(mounted), process.pid)
    process.communicate()
    assert mounted.frozen
    [held] = [hold for held in scene.site.held() for hold in held["holds"] if "frozen" in hold["what"]]
    assert held["by_hand"] == f"fsfreeze --unfreeze {mounted.path}"
    assert scene.site.call("recover").returncode == 0
    assert not mounted.frozen
    scene.go_on("snapshot")


def test_it_is_thawed_where_it_was_frozen_though_a_link_leads_elsewhere_by_now(scene, disk, mounted):
    link = scene.folder / "link"
    link.symlink_to(mounted.path)
    scene.configure(disk, f"fsfreeze: {{path: {link}}}")
    process = scene.start()
    assert scene.reached("snapshot")
    assert mounted.frozen
    link.unlink()
    link.symlink_to(scene.folder)
    scene.go_on("snapshot")
    _, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    assert not mounted.frozen


def test_it_is_thawed_by_itself_when_the_snapshot_takes_too_long(scene, disk, mounted):
    scene.configure(disk, step(mounted, ", at-most: 0.3s"))
    process = scene.start()
    assert scene.reached("snapshot")
    assert eventually(lambda: not mounted.frozen), "while the run still makes its snapshot"
    scene.go_on("snapshot")
    _, err = process.communicate(timeout=90)
    assert process.returncode != 0
    assert "0.3 s" in err


def test_what_somebody_else_has_frozen_stays_so(scene, disk, mounted):
    scene.configure(disk, step(mounted))
    mounted.freeze()
    code, told = scene.run()
    assert code == 71
    assert "Device or resource busy" in told["failures"][0]["sentence"]
    assert mounted.frozen
    assert scene.site.held() == []


def refusal(scene, disk, path):
    scene.configure(disk, f"fsfreeze: {{path: {path}}}")
    result = scene.site.call("run", "nightly")
    assert result.returncode == 69
    return result.stderr


def test_the_root_is_refused(scene, disk):
    assert "/ cannot be frozen for guest web: / is on it" in refusal(scene, disk, "/")


def test_a_file_system_with_the_journal_is_refused(scene, disk, mounted):
    scene.site.environment["HOLDSTILL_STATE"] = str(mounted.path / "state")
    assert f"{mounted.path}/state/" in refusal(scene, disk, mounted.path)
    assert not mounted.frozen


def test_a_file_system_with_a_disk_to_be_copied_is_refused(scene, mounted):
    image = mounted.path / "disk.img"
    image.write_bytes(bytes(MIB))
    assert f"{mounted.path} is on it" in refusal(scene, image, mounted.path)


def test_what_is_no_mount_point_is_refused(scene, disk):
    assert "is no mount point" in refusal(scene, disk, scene.folder)
