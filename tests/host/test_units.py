"""The units in contrib/systemd, as systemd's own tools judge them; that they do their work, a scenario shows."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXPOSURE = {"holdstill@.service": 68, "holdstill-hold@.service": 64, "holdstill-recover.service": 64}
"How much each may be exposed, of 100: what holds and mounts guests' disks cannot be less."

pytestmark = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


@pytest.fixture
def units(tmp_path):
    """The units, installed where only the path of holdstill is another one."""
    subprocess.run(
        ["make", "--silent", "install-units", f"DESTDIR={tmp_path}"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    folder = tmp_path / "etc/systemd/system"
    for unit in folder.iterdir():
        unit.write_text(unit.read_text().replace("/usr/local/sbin/holdstill", sys.executable))
    return folder


def analyze(*arguments):
    return subprocess.run(
        ["systemd-analyze", "--no-pager", *arguments], capture_output=True, text=True, check=False
    )


def test_all_units_are_installed(units):
    assert {path.name for path in units.iterdir()} == {
        path.name for path in (ROOT / "contrib/systemd").iterdir()
    }


def test_systemd_has_nothing_to_complain_of(units):
    instances = [units / path.name.replace("@.", "@nightly.") for path in units.iterdir()]
    done = analyze("verify", "--man=no", *instances)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("unit", EXPOSURE)
def test_no_unit_is_more_exposed_than_need_be(units, unit):
    done = analyze("security", "--offline=yes", f"--threshold={EXPOSURE[unit]}", units / unit)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("unit", EXPOSURE)
def test_none_has_a_mount_namespace_or_lets_lvm_be_killed(units, unit):
    text = (units / unit).read_text()
    assert not re.search(
        r"^(Private|Protect(?!Clock|Hostname)|ReadOnly|ReadWrite|Inaccessible|Bind|Temporary|Root)\w*=",
        text,
        re.M,
    )
    assert "\nSendSIGKILL=no\n" in text
    assert "\nKillMode=mixed\n" in text
