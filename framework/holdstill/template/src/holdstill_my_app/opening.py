"""``my-app-open``: open the containers that my-app keeps on a guest's disk."""

from __future__ import annotations

import msgspec

from holdstill.plugin import (
    Complaint,
    Device,
    Facts,
    Hold,
    Host,
    Source,
    Sources,
    Step,
    hookimpl,
    missing_tools,
)

API_VERSION = 1
"The version of holdstill's plugin API that this was written for."


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What is opened."""

    content: str = "my-app"
    "What blkid(8) calls a container."


@hookimpl
def holdstill_options() -> type[Options]:
    """Give the options."""
    return Options


@hookimpl
def holdstill_check(host: Host) -> list[Complaint]:
    """Need the commands, before anything is held."""
    return missing_tools(host, "my-app-ctl", "blkid")


@hookimpl
def holdstill_open(step: Step[Options], sources: Sources, hold: Hold, host: Host) -> Sources:
    """Put what is inside the containers in their place; pass everything else on."""
    return tuple(_opened(step, source, hold, host) for source in sources)


def _opened(step: Step[Options], source: Source, hold: Hold, host: Host) -> Source:
    """Promise, then attach. The name bears the run's id, so that it can be nobody else's."""
    if not isinstance(source, Device) or source.content != step.options.content:
        return source
    name = f"holdstill-{step.run.id}-{step.guest}-{source.name}"
    path = f"/dev/mapper/{name}"
    hold.promise(f"container {source.name}", by_hand=["my-app-ctl", "detach", name], name=name)
    host.run("my-app-ctl", "attach", source.store, str(source.start), str(source.size), name, planned=path)
    told = host.ask("blkid", "--probe", "--output", "export", path, ok=(0, 2)).out
    found = dict(line.split("=", 1) for line in told.splitlines())
    names = tuple(f"{key}={found[key]}" for key in ("UUID", "LABEL") if key in found)
    return msgspec.structs.replace(
        source, path=path, store=path, start=0, content=found.get("TYPE", ""), attached=True, aliases=names
    )


@hookimpl
def holdstill_places(facts: Facts) -> list[str]:
    """Tell what must be free before it can be detached."""
    return [_path(facts)]


@hookimpl
def holdstill_undo(facts: Facts, host: Host) -> None:
    """Detach it, if it is there. That it is in use is a failure: it is tried again."""
    if host.look(_path(facts)):
        host.run("my-app-ctl", "detach", str(facts["name"]))


def _path(facts: Facts) -> str:
    return f"/dev/mapper/{facts['name']}"
