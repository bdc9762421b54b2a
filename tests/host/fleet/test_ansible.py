"""Three hosts, installed and run by contrib/ansible as docs/how-to/fleet.md says."""

from __future__ import annotations

import re
import subprocess
from itertools import accumulate

import pytest

from ...docs.blocks import blocks
from .hosts import Fleet
from .owner import ROOT, Owner, write_program

pytestmark = pytest.mark.usefixtures("installed")

CALLERS = ROOT / "docs" / "how-to" / "let-a-backup-user-call.md"
CRON, SYSTEMD = "xen1", "xen3"
"A host where that runs the jobs."
FAILS = "echo the tape is full >&2; exit 1"
LEAVES_A_PROCESS_THERE = (
    '(cd "$1" && exec setsid sleep infinity) </dev/null >/dev/null 2>&1 & echo $! >/srv/left'
)


def recap(done: subprocess.CompletedProcess[str], what: str) -> dict[str, int]:
    """Give how many tasks were that, by host."""
    found = re.findall(rf"^(\w+) +: .*\b{what}=(\d+)", done.stdout, re.MULTILINE)
    return {host: int(number) for host, number in found}


def test_holdstill_is_installed_and_checked_on_all_hosts(installed, fleet):
    assert installed.returncode == 0, installed.stdout + installed.stderr
    for box in fleet.boxes.values():
        assert "nightly: ready" in box.call("holdstill", "check").stdout


def test_the_command_is_the_file_that_a_backup_user_may_call_and_no_link_any_more(fleet):
    [launcher] = [block.text for block in blocks(CALLERS, "python")]
    for box in fleet.boxes.values():
        command = box.root / "usr/local/sbin/holdstill"
        assert (command.is_symlink(), command.read_text()) == (False, launcher)
        assert box.call("stat", "--format=%U:%G %a", "/usr/local/sbin/holdstill").stdout == "root:root 755\n"


def test_a_second_time_nothing_is_changed(owner):
    again = owner.types("ansible-playbook -i ~/fleet/hosts.ini install.yml", f"--limit {CRON},{SYSTEMD}")
    assert again.returncode == 0, again.stdout + again.stderr
    assert recap(again, "changed") == {CRON: 0, SYSTEMD: 0}


def test_only_root_may_read_and_write_the_configuration(fleet):
    for box in fleet.boxes.values():
        found = box.call("stat", "--format=%n %U:%G %a", "/etc/holdstill", "/etc/holdstill/holdstill.yaml")
        assert found.stdout.splitlines() == [
            "/etc/holdstill root:root 755",
            "/etc/holdstill/holdstill.yaml root:root 600",
        ]


def test_what_is_configured_is_not_printed_as_it_may_have_passwords(installed):
    assert "from holdstill.cli import main" in installed.stdout
    assert "disks:" not in installed.stdout
    assert "release-within:" not in installed.stdout


def test_cron_runs_what_is_scheduled_where_it_is_to(fleet):
    lines = (fleet.boxes[CRON].root / "etc/cron.d/holdstill").read_text().splitlines()
    assert "30 1 * * *  root  /usr/local/sbin/holdstill run nightly" in lines
    assert "*/5 * * * *  root  /usr/local/sbin/holdstill recover" in lines
    assert not (fleet.boxes[CRON].root / "etc/systemd/system/holdstill@.service").exists()


def test_systemd_runs_what_is_scheduled_elsewhere(fleet):
    units = fleet.boxes[SYSTEMD].root / "etc/systemd/system"
    assert {path.name for path in (units / "timers.target.wants").glob("holdstill*")} == {
        "holdstill-recover.timer",
        "holdstill@nightly.timer",
    }
    assert (units / "multi-user.target.wants/holdstill-recover.service").is_symlink()
    assert (units / "holdstill@nightly.timer.d/schedule.conf").read_text().split() == [
        "[Timer]",
        "OnCalendar=",
        "OnCalendar=*-*-*",
        "01:30",
    ]
    assert not (fleet.boxes[SYSTEMD].root / "etc/cron.d/holdstill").exists()


def test_a_job_is_run_on_all_hosts(owner, fleet):
    done = owner.types("ansible-playbook -i ~/fleet/hosts.ini run.yml -e job=nightly")
    assert done.returncode == 0, done.stdout + done.stderr
    for box in fleet.boxes.values():
        assert [path.suffix for path in (box.root / "srv/backup/nightly").glob("web-*.zst")] == [".zst"]
        assert box.call("holdstill", "held").stdout == "Nothing is held.\n"


def test_a_host_that_fails_is_told_by_name_and_stops_no_other(owner, fleet):
    done = run_copies(owner, fleet, {"xen1": FAILS}, at_a_time=1)
    assert done.returncode == 2
    assert recap(done, "failed") == {"xen1": 1, "xen2": 0, "xen3": 0}
    assert "the tape is full" in complaint(done, "xen1")
    assert "still holds" not in complaint(done, "xen1")
    assert most_at_a_time(fleet) == 1


def test_a_host_that_still_holds_something_is_told_by_name_with_what_lets_go(owner, fleet):
    try:
        done = run_copies(owner, fleet, {"xen2": LEAVES_A_PROCESS_THERE}, at_a_time=2)
        asked = owner.types("ansible-playbook -i ~/fleet/hosts.ini run.yml --tags held")
    finally:
        let_go = fleet.boxes["xen2"].call("sh", "-c", "kill $(cat /srv/left) && holdstill recover")

    assert done.returncode == asked.returncode == 2
    assert recap(done, "failed") == {"xen1": 0, "xen2": 1, "xen3": 0}
    assert "Job copies ended with 81." in complaint(done, "xen2")
    assert "umount /run/holdstill/copies/web" in complaint(done, "xen2")
    assert "umount /run/holdstill/copies/web" in complaint(asked, "xen2")
    assert most_at_a_time(fleet) <= 2

    assert let_go.returncode == 0, let_go.stderr
    assert owner.types("ansible-playbook -i ~/fleet/hosts.ini run.yml --tags held").returncode == 0


def run_copies(
    owner: Owner, fleet: Fleet, odd: dict[str, str], *, at_a_time: int
) -> subprocess.CompletedProcess[str]:
    """Run the job ``copies`` on all hosts; its program does something odd on some."""
    for name, box in fleet.boxes.items():
        (box.root / "srv/times").unlink(missing_ok=True)
        write_program(box, odd.get(name, ""))
    return owner.types(
        "ansible-playbook -i ~/fleet/hosts.ini run.yml -e job=nightly",
        f"-e job=copies -e at_a_time={at_a_time}",
    )


def most_at_a_time(fleet: Fleet) -> int:
    """Give how many hosts' backups were at work at the same time, at most; the hosts have one clock."""
    times = [(box.root / "srv/times").read_text().splitlines() for box in fleet.boxes.values()]
    events = [
        (float(line.split()[0]), change) for one in times for line, change in zip(one, (1, -1), strict=True)
    ]
    counts = accumulate(change for _, change in sorted(events))
    return max(counts)


def complaint(done: subprocess.CompletedProcess[str], host: str) -> str:
    """Give what was told of a host that failed, however its lines are broken."""
    [text] = re.findall(rf"^fatal: \[{host}\]: FAILED! => ?\n((?: .*\n)+)", done.stdout, re.MULTILINE)
    return " ".join(text.split())
