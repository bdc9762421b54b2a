"""The JSON Schema that editors get: of what the types accept, with every plugin's options."""

from __future__ import annotations

import json
import re

import msgspec
import pytest

from holdstill.config.schema import schema
from holdstill.plugin import Duration, Size, hookimpl
from holdstill.plugins.load import Found, find
from holdstill.plugins.registry import Registry


class Part(msgspec.Struct, frozen=True):
    name: str
    size: Size = Size(2**30)


class Options(msgspec.Struct, frozen=True, rename="kebab"):
    parts: list[Part] = []
    only_part: Part | None = None
    wait_for: Duration = Duration(90)


class Partial:
    @hookimpl
    def holdstill_options(self):
        return Options

    @hookimpl
    def holdstill_open(self, sources):
        return sources


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    plugins = Registry(find(tmp_path_factory.mktemp("plugins")))
    plugins.add(Found(name="partial", origin="test", plugin=Partial()))
    return json.loads(json.dumps(schema(plugins)))


def everything_in(value):
    yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from everything_in(inner)


def test_every_reference_leads_somewhere(described):
    references = [
        part["$ref"] for part in everything_in(described) if isinstance(part, dict) and "$ref" in part
    ]
    assert references
    assert {reference.removeprefix("#/$defs/") for reference in references} <= set(described["$defs"])
    assert all(re.fullmatch(r"#/\$defs/[A-Za-z0-9._-]+", reference) for reference in references)


def test_what_has_keys_of_its_own_refuses_others(described):
    closed = [name for name, part in described["$defs"].items() if "properties" in part]
    assert {"Config", "GuestConfig", "JobConfig", "lvm.Options", "tar.Options", "partial.Options"} <= set(
        closed
    )
    assert all(described["$defs"][name]["additionalProperties"] is False for name in closed)


def test_every_role_names_the_plugins_that_can_take_it(described):
    named = {
        role: described["$defs"][f"{role}-step"]["anyOf"][0]["enum"]
        for role in ("open", "snapshot", "backup")
    }
    assert {"partitions", "kpartx", "guest-lv", "guest-vg", "mount", "partial"} <= set(named["open"])
    assert {"lvm", "image"} <= set(named["snapshot"])
    assert {"command", "tar"} <= set(named["backup"])


def test_keys_are_as_they_are_written(described):
    assert "release-within" in described["$defs"]["JobConfig"]["properties"]
    assert set(described["$defs"]["partial.Options"]["properties"]) == {"parts", "only-part", "wait-for"}


def test_defaults_are_as_they_would_be_written(described):
    assert described["$defs"]["JobConfig"]["properties"]["lease"]["default"] == "1d"
    assert described["$defs"]["lvm.Options"]["properties"]["size"]["default"] == "10%ORIGIN"
    assert described["$defs"]["partial.Part"]["properties"]["size"]["default"] == "1.0 GiB"
    assert described["$defs"]["partial.Options"]["properties"]["wait-for"]["default"] == "90s"


def test_what_a_guest_and_a_job_must_have_is_said(described):
    assert described["$defs"]["GuestConfig"]["required"] == ["disks"]
    assert described["$defs"]["JobConfig"]["required"] == ["guests"]
