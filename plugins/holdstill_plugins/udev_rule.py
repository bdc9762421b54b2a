"""The udev rule that keeps the host's hands off what is a guest's."""

from __future__ import annotations

from pathlib import Path

from holdstill.plugin import Complaint, Host

NAME = "12-holdstill.rules"
RULE = Path(__file__).with_name("udev") / NAME
FOLDERS = ("/etc/udev/rules.d", "/run/udev/rules.d", "/usr/lib/udev/rules.d", "/lib/udev/rules.d")
RUNNING = "/run/udev/control"


def missing_rule(host: Host) -> list[Complaint]:
    """Complain if udev runs and would activate a guest's volume group from what we attach."""
    installed = [path for folder in FOLDERS if host.look(path := f"{folder}/{NAME}")]
    if not host.look(RUNNING) or (installed and host.read(installed[0]) == RULE.read_text()):
        return []
    return [
        Complaint(
            "udev would activate the guests' own volume groups on this host; tell it not to: "
            f"«cp {RULE} {FOLDERS[0]}/ && udevadm control --reload»."
        )
    ]
