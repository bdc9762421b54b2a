"""Somebody who has a fleet, and follows docs/how-to/fleet.md."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ...docs.blocks import blocks
from .hosts import Box, Fleet, run

ROOT = Path(__file__).parents[3]
ANSIBLE = ROOT / "contrib" / "ansible"
PAGE = ROOT / "docs" / "how-to" / "fleet.md"
PROGRAMS = Path(sys.executable).parent
HOSTS = """
[holdstill]
xen1 ansible_host={xen1.address} holdstill_scheduler=cron
xen2 ansible_host={xen2.address}
xen3 ansible_host={xen3.address}

[holdstill:vars]
ansible_user=root
ansible_ssh_private_key_file={key}
ansible_ssh_common_args=-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null
ansible_python_interpreter=/usr/bin/python3
holdstill_python={python}
holdstill_configuration_files=["{folder}/copies.yaml"]
"""
COPIES = """
jobs:
  copies:
    guests: [web]
    backup: {command: {run: /srv/copy}}
    release-within: 1s
"""
COPY = """#!/bin/sh
cat /proc/uptime >>/srv/times
sleep 0.5
cat /proc/uptime >>/srv/times
"""


class Owner:
    """Has the wheels, the inventory and the variables that the page tells to have, and types what it says."""

    def __init__(self, folder: Path, fleet: Fleet) -> None:
        self.fleet = fleet
        self.home = folder / "home"
        variables = self.home / "fleet" / "group_vars" / "holdstill.yml"
        variables.parent.mkdir(parents=True)
        variables.write_text(told("yml", "holdstill_wheels"))
        (self.home / "fleet" / "hosts.ini").write_text(told("ini", "[holdstill]"))
        (folder / "copies.yaml").write_text(COPIES)
        self.connection = folder / "connection.ini"
        self.connection.write_text(
            HOSTS.format(key=fleet.key, python=Path(sys.executable).resolve(), folder=folder, **fleet.boxes)
        )
        self._make_wheels()

    def types(self, beginning: str, more: str = "") -> subprocess.CompletedProcess[str]:
        """Type a command of the page, and more words, in the folder of the playbooks; give what it prints."""
        command = f"{told('sh', beginning).rstrip()} -i {self.connection} {more}"
        return self.fleet.control("sh", "-c", command, cwd=ANSIBLE, env=self._environment())

    def _make_wheels(self) -> None:
        more = {"PIP_CONSTRAINT": str(ROOT / "tests" / "constraints.txt"), "PIP_QUIET": "1"}
        run("sh", "-ec", told("sh", "pip wheel"), cwd=ROOT, env=os.environ | self._environment() | more)

    def _environment(self) -> dict[str, str]:
        patient = {"ANSIBLE_TIMEOUT": "120"}  # until a host answers
        return {
            "HOME": str(self.home),
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "LC_ALL": "C.UTF-8",
        } | patient


def told(language: str, beginning: str) -> str:
    """Give the one block of the page that is in a language and begins so."""
    [text] = [block.text for block in blocks(PAGE, language) if block.text.startswith(beginning)]
    return text


def write_program(box: Box, more: str = "") -> None:
    """Write what the job ``copies`` calls; more that it does, besides telling when it runs."""
    program = box.root / "srv/copy"
    program.write_text(COPY + more)
    program.chmod(0o755)
