"""A machine whose power is cut comes back with what was promised to its disks."""

from .machine import Machine


def test_a_snapshot_outlives_a_power_cut(lab_machine: Machine) -> None:
    lab_machine.run("vgcreate", "hostvg", "/dev/vdb")
    lab_machine.run("lvcreate", "--yes", "--name", "origin", "--size", "64M", "hostvg")
    lab_machine.run("lvcreate", "--snapshot", "--name", "snap", "--size", "16M", "hostvg/origin")
    lab_machine.run("dd", "if=/dev/zero", "of=/root/promised", "bs=512", "count=1", "conv=fsync")
    lab_machine.run("touch", "/root/not-promised")

    lab_machine.cut_power()
    lab_machine.boot()

    assert lab_machine.run("lvs", "--noheadings", "-o", "lv_name", "hostvg").split() == ["origin", "snap"]
    assert lab_machine.run("stat", "-c", "%s", "/root/promised") == "512\n"
    assert lab_machine.run("ls", "/root").split() == ["promised"]
    assert lab_machine.run("systemctl", "is-system-running", "--wait") == "running\n"
