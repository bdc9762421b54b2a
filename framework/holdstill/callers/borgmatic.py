"""borgmatic: its ``commands`` call ``pre`` and ``post`` around all that it does with one configuration.

Its "after" is called also if "before" failed, or the backup did, or borgmatic was stopped.
"""

from __future__ import annotations

from holdstill.callers import File

FILES = (File("nightly.yaml", "into the configuration of borgmatic, such as /etc/borgmatic.d/nightly.yaml"),)
