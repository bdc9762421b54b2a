"""The plugins around a job, remembered for whoever lets go without reading the configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import structlog

from holdstill import units
from holdstill.errors import HoldstillError
from holdstill.plugins.registry import Registry
from holdstill.words import Role, RunInfo, Step

log = structlog.get_logger()


def remembered(steps: Iterable[Step[Any]]) -> dict[str, Any]:
    """Give the options of steps as plain values, by plugin."""
    return {step.plugin: msgspec.to_builtins(step.options, enc_hook=str) for step in steps}


def recalled(options: Mapping[str, Any], info: RunInfo, plugins: Registry) -> tuple[Step[Any], ...]:
    """Give the steps that those options are of; what the plugin of today does not take is told, and left out."""
    steps = []
    for name, plain in options.items():
        try:
            typed = msgspec.convert(plain, plugins.options_of(name), dec_hook=units.decode)
        except (HoldstillError, msgspec.ValidationError) as error:
            log.error("takes no part any more", plugin=name, why=str(error))
        else:
            steps.append(Step(plugin=name, role=Role.AROUND, options=typed, run=info))
    return tuple(steps)
