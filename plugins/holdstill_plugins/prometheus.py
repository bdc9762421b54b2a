"""``prometheus``: figures of a job's last runs, in a textfile for the collector of Prometheus' node_exporter.

The file is ``FOLDER/holdstill_JOB.prom``, replaced as a whole after each run, readable by all. What is told of the
last good run (when it ended, the size of its backup, how full its snapshots were) outlasts runs that fail.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec

from holdstill.plugin import (
    CallerVerdict,
    Complaint,
    ExitCode,
    Host,
    NodeKind,
    Outcome,
    Quieted,
    Run,
    Step,
    hookimpl,
)
from holdstill_plugins.report import ends_of

NAME = "prometheus"

HELP = {
    "last_attempt_timestamp_seconds": "When the last run began.",
    "last_success_timestamp_seconds": "When the last good run ended; 0 if there was none.",
    "last_run_ok": "Whether all was well with the last run (1) or not (0).",
    "last_run_exit_code": "What the last run exited with.",
    "last_run_caller_verdict": "What the caller of the last «post» said of its backup (1), and what it did not (0).",
    "last_run_phase_duration_seconds": "How long each phase of the last run took.",
    "still_held": "How many things the last run could not let go of.",
    "quiet_seconds": "How long each guest was held still for its last snapshot.",
    "application_quiet_seconds": "How long each application was quiet for the last snapshot of its guest.",
    "application_was_quiet": "Whether each application was quiet for all of that snapshot (1) or not (0).",
    "frozen_seconds": "How long the disks of each guest were frozen together for their last snapshots.",
    "backup_bytes": "The size of the last good backup, if its plugin tells it.",
    "snapshot_fill_ratio": "How full, between 0 and 1, the fullest snapshot of each guest was at the end.",
}


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Where the figures go."""

    folder: str = "/var/lib/prometheus/node-exporter"
    "The folder that node_exporter reads: its ``--collector.textfile.directory``."


class Sample(msgspec.Struct, frozen=True):
    """A value, and which of several it is."""

    value: float
    labels: dict[str, str] = {}


Figures = dict[str, list[Sample]]
"Samples by the name of their metric, without the prefix ``holdstill_``."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(steps: tuple[Step[Options], ...], host: Host) -> list[Complaint]:
    """Need the folder."""
    return [
        Complaint(f"The folder {folder} for Prometheus' textfiles does not exist.", ExitCode.NO_INPUT)
        for folder in dict.fromkeys(step.options.folder for step in steps)
        if (node := host.look(folder)) is None or node.kind is not NodeKind.FOLDER
    ]


@hookimpl
def holdstill_finished(run: Run, outcome: Outcome) -> None:
    """Write the file anew; what this run has no figures of stays as it was."""
    step: Step[Options] | None = run.around(NAME)
    if step is None:
        return
    memory = run.folder_of(NAME)
    with _alone_in(memory):
        figures = _figures_in(memory / f"{outcome.job}.json") | _figures_of(outcome)
        _replace(memory / f"{outcome.job}.json", msgspec.json.encode(figures).decode(), run.host)
        exposition = "".join(_family(name, samples, outcome.job) for name, samples in sorted(figures.items()))
        _replace(Path(step.options.folder) / f"holdstill_{outcome.job}.prom", exposition, run.host)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Have a folder to ourselves: a run that is refused ends while the one that it would disturb does."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _figures_in(memory: Path) -> Figures:
    """Give what was told last; nothing, rather than no figures ever again, if a power cut has left half of it."""
    try:
        return msgspec.json.decode(memory.read_bytes(), type=Figures)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return {"last_success_timestamp_seconds": [Sample(0)]}


def _replace(path: Path, content: str, host: Host) -> None:
    """Write a file so that nobody ever sees half of it."""
    host.write(f"{path}.new", content)
    host.run("mv", "--no-target-directory", f"{path}.new", str(path))


def _figures_of(outcome: Outcome) -> Figures:
    """Give the figures that a run has, none of those that it did not get to."""
    good = ends_of(outcome) == {"ok"}
    size = outcome.backup.get("bytes")
    figures = {
        "last_attempt_timestamp_seconds": [Sample(outcome.started)],
        "last_success_timestamp_seconds": [Sample(time.time())] if good else [],
        "last_run_ok": [Sample(int(good))],
        "last_run_exit_code": [Sample(int(outcome.code))],
        "last_run_caller_verdict": _verdict(outcome.caller_verdict),
        "last_run_phase_duration_seconds": _by("phase", outcome.seconds),
        "still_held": [Sample(len(outcome.still_held))],
        "quiet_seconds": _by("guest", outcome.quiet_seconds),
        "frozen_seconds": _by("guest", outcome.frozen_seconds),
        "application_quiet_seconds": _by_application(outcome, lambda one: one.seconds, max),
        "application_was_quiet": _by_application(outcome, lambda one: not one.why_not, min),
        "backup_bytes": [Sample(size)] if good and isinstance(size, int) else [],
        **{name: _by("guest", highest) for name, highest in _highest(outcome).items()},
    }
    return {name: samples for name, samples in figures.items() if samples}


def _verdict(said: CallerVerdict | None) -> list[Sample]:
    return _by("verdict", {verdict: int(verdict is said) for verdict in CallerVerdict}) if said else []


def _by(label: str, values: Mapping[str, float]) -> list[Sample]:
    return [Sample(value, {label: name}) for name, value in values.items()]


def _by_application(
    outcome: Outcome, told: Callable[[Quieted], float], of_several: Callable[[float, float], float]
) -> list[Sample]:
    """Give a value of each application; what quiesces a guest twice is told once."""
    found: dict[tuple[str, str], float] = {}
    for one in outcome.applications:
        key, value = (one.guest, one.plugin), told(one)
        found[key] = of_several(found.get(key, value), value)
    return [
        Sample(value, {"guest": guest, "application": plugin}) for (guest, plugin), value in found.items()
    ]


def _highest(outcome: Outcome) -> dict[str, dict[str, float]]:
    """Give the highest of each guest's measures of one name."""
    found: dict[str, dict[str, float]] = {}
    for measure in outcome.measures:
        of_guests = found.setdefault(measure.name, {})
        of_guests[measure.guest] = max(measure.value, of_guests.get(measure.guest, measure.value))
    return found


def _family(name: str, samples: list[Sample], job: str) -> str:
    """Write a metric in Prometheus' text format.

    The label is not called ``job``: that is the name of what Prometheus scrapes, and it would rename ours.
    """
    what = HELP.get(name, "The highest that was measured, of each guest, in the last run that got so far.")
    lines = [f"# HELP holdstill_{name} {what}", f"# TYPE holdstill_{name} gauge"]
    for sample in samples:
        labels = ",".join(
            f'{key}="{_escaped(value)}"' for key, value in ({"backup_job": job} | sample.labels).items()
        )
        lines.append(f"holdstill_{name}{{{labels}}} {sample.value}")
    return "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
