"""Borg, which has no hooks: holdstill calls it, or a script calls both."""

from __future__ import annotations

from holdstill.callers import File

FILES = (
    File("holdstill.yaml", "either into the configuration of holdstill, below the job"),
    File("nightly.sh", "or a script for cron, such as /usr/local/sbin/borg-nightly, with mode 0755"),
)
