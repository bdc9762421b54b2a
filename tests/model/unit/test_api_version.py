"""A plugin that says for which version of the API it was written is refused where that does not fit."""

from __future__ import annotations

import pytest

from holdstill.plugin import API_VERSION, hookimpl
from holdstill.plugins import api
from holdstill.plugins.load import Found
from holdstill.plugins.registry import Registry


class Plugin:
    @hookimpl
    def holdstill_open(self, sources):
        return sources


def broken(version: object) -> str:
    plugin = Plugin()
    if version is not None:
        plugin.API_VERSION = version
    [found] = Registry([Found(name="theirs", origin="elsewhere", plugin=plugin)]).found
    return found.broken


@pytest.mark.parametrize("version", [None, API_VERSION])
def test_a_plugin_for_this_version_or_for_none_is_used(version):
    assert not broken(version)


def test_a_plugin_for_a_later_version_wants_a_newer_holdstill():
    assert broken(API_VERSION + 1) == (
        f"it needs version {API_VERSION + 1} of the plugin API, and this holdstill has {API_VERSION}: update holdstill"
    )


def test_a_plugin_for_a_version_that_is_gone_is_to_be_updated(monkeypatch):
    monkeypatch.setattr(api, "OLDEST", 1)
    assert broken(0) == (
        "it was written for version 0 of the plugin API, and 1 is the oldest here: update it"
    )


@pytest.mark.parametrize("version", ["1", 1.0, [1]])
def test_a_version_that_is_none_is_said(version):
    assert "must be a whole number" in broken(version)


def test_a_plugin_that_is_too_new_may_have_hooks_that_nobody_knows():
    class Newer(Plugin):
        API_VERSION = 99

        @hookimpl
        def holdstill_teleport(self):
            pass

    [found] = Registry([Found(name="theirs", origin="elsewhere", plugin=Newer())]).found
    assert "update holdstill" in found.broken
