"""A machine whose power is cut comes back with what was promised to its disks."""

from .machine import Machine

HOLD = """
vgcreate hostvg /dev/vdb
PYTHONPATH=/lab/tests python3 -c '
from lab.scenarios.guest_disk import make_guest_disk
from holdstill_plugins.udev_rule import RULE
print(RULE, make_guest_disk("hostvg", "web").path)
' > /root/rule
cp "$(cut -d' ' -f1 /root/rule)" /etc/udev/rules.d/
udevadm control --reload
echo 'devices { global_filter = [ "r|^/dev/mapper/holdstill-|", "r|^/dev/mapper/.*-hs_|" ] }' >> /etc/lvm/lvmlocal.conf
mkdir -p /etc/holdstill
cat > /etc/holdstill/holdstill.yaml <<'END'
guests: {web: {disks: [/dev/hostvg/web], open: [kpartx, guest-lv, mount]}}
jobs: {for-others: {guests: [web]}}
END
sync
holdstill pre for-others
"""
"Hold a guest as backup software would, on a host that is set up as «holdstill check» asks for."


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


def test_a_host_that_boots_beside_a_runs_snapshot_takes_nothing_of_the_guests(lab_machine: Machine) -> None:
    """What was held in the kernel is gone, the snapshot is not: nobody is to open it but «holdstill recover»."""
    lab_machine.run("sh", "-ec", HOLD, limit=300)
    held = lab_machine.run("dmsetup", "info", "--columns", "--noheadings", "--options", "name").split()
    assert any(name.startswith("holdstill-") for name in held)

    lab_machine.cut_power()
    lab_machine.boot()

    lab_machine.run("udevadm", "settle")
    maps = lab_machine.run("dmsetup", "info", "--columns", "--noheadings", "--options", "name").split()
    assert "hostvg-web" in maps
    assert [name for name in maps if not name.startswith("hostvg-")] == []
    assert [name for name in maps if name.endswith(("p1", "p2"))] == []
    assert lab_machine.run("vgs", "--noheadings", "-o", "vg_name").split() == ["hostvg"]
    assert "/run/holdstill" not in lab_machine.run("cat", "/proc/mounts")
    lab_machine.run("holdstill", "recover", limit=200)
    assert lab_machine.run("lvs", "--noheadings", "-o", "lv_name", "hostvg").split() == ["web"]
    assert lab_machine.run("holdstill", "held", "--json").strip() == "[]"
