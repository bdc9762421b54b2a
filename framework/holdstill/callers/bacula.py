"""Bacula and Bareos: a job whose RunScripts call ``pre`` and ``post`` on the file daemon's host.

The session is the job's unique name (``%j``). The director ends a cancelled job at once, while its «pre» still works;
the «post» that comes after that must not let go of what a later job holds.
"""

from __future__ import annotations

from holdstill.callers import File

FILES = (File("job.conf", "in the director's configuration; then «reload» in bconsole"),)
