"""A machine whose power is cut comes back with what was promised to its disks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from .machine import Machine
from .scenarios.campaign import rng, samples

SET_UP = """
vgcreate hostvg /dev/vdb
PYTHONPATH=/lab/tests python3 -c '
from lab.scenarios.guest_disk import make_guest_disk
from holdstill_plugins.udev_rule import RULE
print(RULE, make_guest_disk("hostvg", "web", size="128M").path)
' > /root/rule
cp "$(cut -d' ' -f1 /root/rule)" /etc/udev/rules.d/
udevadm control --reload
echo 'devices { global_filter = [ "r|^/dev/mapper/holdstill-|", "r|^/dev/mapper/.*-hs_|" ] }' >> /etc/lvm/lvmlocal.conf
mkdir -p /etc/holdstill
cat > /etc/holdstill/holdstill.yaml <<'END'
guests:
  web: {disks: [/dev/hostvg/web], open: [kpartx, guest-lv, mount]}
  web1: {disks: [/dev/hostvg/web1]}
  web2: {disks: [/dev/hostvg/web2]}
  web3: {disks: [/dev/hostvg/web3]}
  web4: {disks: [/dev/hostvg/web4]}
jobs:
  for-others: {guests: [web]}
  job0: {guests: [web], backup: {command: {run: 'true'}}}
  job1: {guests: [web1], backup: {command: {run: 'true'}}}
  job2: {guests: [web2], backup: {command: {run: 'true'}}}
  job3: {guests: [web3], backup: {command: {run: 'true'}}}
  job4: {guests: [web4], backup: {command: {run: 'true'}}}
END
chmod 600 /etc/holdstill/holdstill.yaml
sync
"""
"A host that is set up as «holdstill check» asks for, with a guest."
CLONES = """
for n in 1 2 3 4; do
    lvcreate --yes --name web$n --size 128M hostvg
    dd if=/dev/hostvg/web of=/dev/hostvg/web$n bs=1M conv=sparse
done
sync
"""
STATE = "import json; from lab.scenarios.installed import host_state; print(json.dumps(host_state()))"
JOBS = [f"job{number}" for number in range(5)]
"So many runs are at work when the power is cut, each at another point: booting takes longer than all the rest."
BEGUN = f"""
for job in {" ".join(JOBS)}; do systemd-run --quiet --collect --unit=$job holdstill run $job & done
until ls /var/lib/holdstill/journals/*.jsonl; do sleep 0.1; done 2> /dev/null
"""
OVER = f"for job in {' '.join(JOBS)}; do while systemctl --quiet is-active $job; do sleep 0.2; done; done"
CUTS = samples(1, 5)


def test_a_snapshot_outlives_a_power_cut(lab_machine: Machine) -> None:
    lab_machine.run("vgcreate", "hostvg", "/dev/vdb")
    lab_machine.run("lvcreate", "--yes", "--name", "origin", "--size", "64M", "hostvg")
    lab_machine.run("lvcreate", "--snapshot", "--name", "snap", "--size", "16M", "hostvg/origin")
    lab_machine.run("mount", "-o", "remount,commit=3600", "/")  # or it could keep more, five seconds later
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
    lab_machine.run("sh", "-ec", SET_UP)
    lab_machine.run("holdstill", "pre", "for-others")
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
    lab_machine.run("holdstill", "recover")
    assert lab_machine.run("lvs", "--noheadings", "-o", "lv_name", "hostvg").split() == ["web"]
    assert lab_machine.run("holdstill", "held", "--json").strip() == "[]"


def test_runs_cut_off_anywhere_are_recovered_after_the_boot(
    lab_machine: Machine, record_property: Callable[[str, object], None]
) -> None:
    lab_machine.run("sh", "-ec", SET_UP + CLONES)
    before, length = state_of(lab_machine), seconds_of_runs(lab_machine)
    reached = []
    for number in range(CUTS):
        lab_machine.run("sh", "-c", BEGUN)
        time.sleep((number + rng("power cut", number).random()) / CUTS * length)
        lab_machine.cut_power()
        lab_machine.boot()
        reached += records_of_journals(lab_machine)
        lab_machine.run("holdstill", "recover")
        assert state_of(lab_machine) == before, f"cut {number}"
        assert json.loads(lab_machine.run("holdstill", "held", "--json")) == []
    record_property(f"records in journals after {CUTS} cuts, {len(JOBS)} runs each", reached)


def seconds_of_runs(machine: Machine) -> float:
    """How long the runs take, from the first one's beginning to the last one's end."""
    machine.run("sh", "-c", BEGUN)
    began = time.monotonic()
    machine.run("sh", "-c", OVER)
    return time.monotonic() - began


def state_of(machine: Machine) -> dict[str, Any]:
    """Everything on the host that a run could leave something of."""
    told = machine.run("env", "PYTHONPATH=/lab/tests", "python3", "-c", STATE)
    state: dict[str, Any] = json.loads(told)
    return {**state, "mounts": sorted(state["mounts"])}


def records_of_journals(machine: Machine) -> list[int]:
    """How far the runs had come that were cut off."""
    told = machine.run(
        "sh", "-c", "cd /var/lib/holdstill/journals && wc --lines *.jsonl || true"
    ).splitlines()
    return [int(line.split()[0]) for line in told if line.endswith(".jsonl")]


UNITS = """
cp /lab/contrib/systemd/*.service /lab/contrib/systemd/*.timer /etc/systemd/system/
sed -i "s|/usr/local/sbin/holdstill|$(command -v holdstill)|" /etc/systemd/system/holdstill*
systemctl daemon-reload
systemctl enable holdstill-recover.service
sync
"""


def test_what_was_held_is_let_go_of_at_boot_before_backups_begin(lab_machine: Machine) -> None:
    lab_machine.run("sh", "-ec", SET_UP + UNITS)
    lab_machine.run("holdstill", "pre", "for-others")

    lab_machine.cut_power()
    lab_machine.boot()

    lab_machine.run("systemctl", "is-system-running", "--wait")
    assert lab_machine.run("lvs", "--noheadings", "-o", "lv_name", "hostvg").split() == ["web"]
    assert lab_machine.run("holdstill", "held", "--json").strip() == "[]"
    assert lab_machine.run("systemctl", "show", "-P", "Result", "holdstill-recover").strip() == "success"
    before = lab_machine.run("systemctl", "show", "-P", "Before", "holdstill-recover").split()
    assert {"cron.service", "bacula-fd.service"} <= set(before)
