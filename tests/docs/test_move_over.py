"""The page for users of the script guest_lvm_mounter, followed: what it shows is made, what it says is typed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from holdstill.host import detached
from holdstill.testing.disks import make_guest_disk
from holdstill.testing.trees import fstab, populate, volume_group

from .blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "move-over-from-the-script.md"
OLD, NEW, PROGRAM = (
    "/etc/guest_lvm_mounter",
    "/etc/holdstill/guests.yaml",
    "/usr/local/sbin/guest_lvm_mounter",
)


class Reader:
    """Somebody who does what the page says, with folders of their own in the place of the host's."""

    def __init__(self, folder: Path) -> None:
        self.new = folder / "guests.yaml"
        self._places = {OLD: folder / "old", NEW: self.new, PROGRAM: folder / "bin" / "guest_lvm_mounter"}
        for name in ("old", "bin"):
            (folder / name).mkdir(mode=0o755)
        (folder / "bin" / "holdstill").symlink_to(Path(sys.executable).with_name("holdstill"))
        self.program = self._places[PROGRAM]
        self.trees = folder / "trees"
        self._environment = os.environ | {
            "PATH": f"{folder / 'bin'}:{os.environ['PATH']}",
            "HOLDSTILL_CONFIG": str(self.new),
            "HOLDSTILL_STATE": str(folder / "state"),
            "HOLDSTILL_PLUGINS": str(folder / "plugins"),
        }
        for block in blocks(PAGE, "text"):
            Path(self._here(block.path)).write_text(block.text)

    def _here(self, text: str) -> str:
        for there, place in self._places.items():
            text = text.replace(there, str(place))
        return text

    def types(self, beginning: str) -> None:
        """Type the block that begins so, as far as it goes well."""
        [text] = [block.text for block in blocks(PAGE, "sh") if block.text.startswith(beginning)]
        done = subprocess.run(
            ["sh", "-e"], input=self._here(text), cwd=ROOT, env=self._environment, text=True, capture_output=True,
            timeout=300, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, ""), text


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path)


def test_from_the_files_on_the_page_comes_the_configuration_on_the_page(reader):
    reader.types(f"holdstill import {OLD} --to {NEW}")
    [shown] = blocks(PAGE, "yaml")
    assert yaml.safe_load(reader.new.read_text()) == yaml.safe_load(shown.text)


def test_a_script_with_other_words_is_read_as_the_page_says(reader):
    reader.types(f"holdstill import {OLD} --rename")


@pytest.mark.skipif(
    os.geteuid() != 0 or not Path("/dev/loop-control").exists(), reason="needs root and loop devices"
)
@pytest.mark.skipif(detached.SYSTEMD.is_dir(), reason="where systemd runs, it would stop a unit of its own")
def test_the_drop_in_does_what_the_page_says(reader, tmp_path):
    reader.types(f"holdstill import {OLD} --to {NEW}")
    disk_in_the_place_of_the_volume(reader, tmp_path)
    reader.types("install")
    text = reader.program.read_text()
    for line, ours in (
        ("trees=/run/holdstill", f"trees={reader.trees}"),
        ("holdstill=/usr/local/sbin/holdstill", f"holdstill={Path(sys.executable).with_name('holdstill')}"),
    ):
        assert f"\n{line}\n" in text
        text = text.replace(f"\n{line}\n", f"\n{ours}\n")
    reader.program.write_text(text)
    reader.types("guest_lvm_mounter mount")
    reader.types("guest_lvm_mounter fork mount")
    subprocess.run(
        [Path(sys.executable).with_name("holdstill"), "--state", tmp_path / "state", "held", "--wait"],
        check=True,
    )
    assert not reader.trees.exists() or list(reader.trees.iterdir()) == []


def disk_in_the_place_of_the_volume(reader, folder):
    """Let the configuration be of a disk and a service that this machine has."""
    populate(folder / "root", files=5, name="web", table=fstab("web", volumes=("root", "swap")))
    (folder / "boot").mkdir()
    (folder / "boot" / "vmlinuz").write_text("a kernel")
    disk = make_guest_disk(
        folder / "web.img", tree=folder / "root", boot=folder / "boot", size=64 << 20, name="web"
    )
    text = reader.new.read_text()
    changes = {
        "[/dev/hostvg/web]": f"[{disk.path}]",
        '    snapshot: {lvm: {size: "5G"}}\n': "",
        "root: webvg/root": f"root: {volume_group('web')}/root",
        "service: {units: [bacula-fd], grace: 5m}": "{service: {scripts: [{name: bacula-fd, running: 'false'}]}}",
    }
    for there, here in changes.items():
        assert there in text
        text = text.replace(there, here)
    reader.new.write_text(text)
