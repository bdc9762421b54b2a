"""Which guests a job opens, as far as the configuration alone tells: no plugin is asked, and nothing looked at."""

from __future__ import annotations

from pathlib import Path

from holdstill.config.load import load
from holdstill.config.model import Config
from holdstill.errors import ConfigError, NotFoundError
from holdstill.text import nearest


def guests_of(place: Path, job: str) -> tuple[str, ...]:
    """Give the names of a job's guests that have a tree, in order: not those with ``open: []``.

    Raises NotFoundError if there is no such job, ConfigError with all that is wrong with the configuration.
    """
    config, _, complaints = load(place)
    try:
        written = config.job(job)
    except NotFoundError:
        complaints.raise_any()  # a file that cannot be read hides its jobs
        raise
    complaints.raise_any()
    assert written is not None
    if unknown := [name for name in written.names if name not in config.guests]:
        raise ConfigError([_no_guest(config, job, name) for name in unknown])
    return tuple(name for name in written.names if config.guests[name].open)


def _no_guest(config: Config, job: str, name: str) -> str:
    return f"The job {job!r} is of a guest {name!r}, which there is not{nearest(name, config.guests) or '.'}"
