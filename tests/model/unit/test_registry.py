"""The plugins of a host: each is called by its name, inside everybody's wrappers, and its defects are its own."""

from __future__ import annotations

import inspect
from types import ModuleType

import pytest

from holdstill import hookspecs
from holdstill.errors import BackupError, PluginBugError, RunInterrupted, UnavailableError
from holdstill.plugin import Complaint, NoOptions, Role, hookimpl
from holdstill.plugins.load import Found
from holdstill.plugins.registry import Registry


def plugin(name, **hooks):
    """A plugin with these hooks: functions, or a value that the hook answers."""
    module = ModuleType(name)
    vars(module).update({key: _hook(hook) for key, hook in hooks.items()})
    return Found(name=name, origin=f"{name} 1.0", plugin=module)


def _hook(hook):
    return hook if callable(hook) and not isinstance(hook, type) else hookimpl(lambda: hook)


def raising(error):
    @hookimpl
    def hook():
        raise error

    return hook


def call(plugins, name, hook, **given):
    return plugins.call(name, hook, **(_all_arguments(hook) | given))


def phase(plugins, hook):
    plugins.phase(hook, **_all_arguments(hook))


def _all_arguments(hook):
    return dict.fromkeys(inspect.signature(getattr(hookspecs, hook)).parameters)


def reason(*found):
    return Registry(found).found[-1].broken


# What can be no plugin


def test_a_misspelt_hook_is_told_with_the_nearest_right_one():
    assert (
        reason(plugin("p", holdstill_quiese=None))
        == "there is no hook 'holdstill_quiese'; did you mean 'holdstill_quiesce'?"
    )


def test_a_hook_with_an_argument_that_it_never_gets_is_told():
    @hookimpl
    def holdstill_undo(facts, hots):
        return facts, hots

    told = reason(plugin("p", holdstill_undo=holdstill_undo))
    assert told == "holdstill_undo has no argument 'hots'; did you mean 'host'?"


def test_a_hook_with_an_argument_like_none_of_its_own_is_told_which_it_has():
    @hookimpl
    def holdstill_undo(everything):
        return everything

    told = reason(plugin("p", holdstill_undo=holdstill_undo))
    assert told == "holdstill_undo has no argument 'everything'; it has facts, host"


def test_a_context_that_is_none_is_told_with_what_is_most_often_forgotten():
    plugins = Registry([plugin("p", holdstill_quiesce=None)])
    with pytest.raises(PluginBugError, match=r"answered holdstill_quiesce with NoneType.*«return»"):
        plugins.context("p", "holdstill_quiesce", call(plugins, "p", "holdstill_quiesce"))


def test_an_answer_of_another_type_is_told_with_the_type_that_is_wanted():
    plugins = Registry([plugin("p", holdstill_check="bad")])
    with pytest.raises(PluginBugError, match=r"got `str`; it is to give list\[Complaint\] \| None\."):
        plugins.asked("p", "holdstill_check", list[Complaint] | None, **_all_arguments("holdstill_check"))


def test_a_plugin_that_cannot_be_used_takes_part_in_nothing():
    @hookimpl
    def wrong(hots):
        return hots

    heard = []
    hooks = {
        "holdstill_finished": hookimpl(lambda: heard.append(1)),
        "holdstill_open": (),
        "holdstill_undo": wrong,
    }
    plugins = Registry([plugin("p", **hooks), plugin("q", holdstill_typo=None, holdstill_open=())])
    phase(plugins, "holdstill_finished")
    assert (heard, plugins.names(Role.OPEN)) == ([], [])
    assert all(found.broken for found in plugins.found)


def test_one_name_for_two_plugins_is_told_in_a_sentence_and_the_first_counts():
    plugins = Registry([plugin("p", holdstill_open=1), plugin("p", holdstill_open=2)])
    assert plugins.found[1].broken == "the name 'p', or the module, is registered already"
    assert call(plugins, "p", "holdstill_open") == 1


def test_one_module_under_two_names_is_told():
    both = ModuleType("both")
    plugins = Registry([Found(name=name, origin="o", plugin=both) for name in ("a", "b")])
    assert [bool(found.broken) for found in plugins.found] == [False, True]


def test_what_was_broken_at_import_stays_broken():
    assert reason(Found(name="p", origin="o", broken="ImportError: no")) == "ImportError: no"


# Names and roles


def test_a_role_has_the_plugins_that_implement_its_hook():
    plugins = Registry(
        [plugin("a", holdstill_open=()), plugin("b", holdstill_snapshot=(), holdstill_open=())]
    )
    assert plugins.names(Role.OPEN) == ["a", "b"]
    assert plugins.names(Role.SNAPSHOT) == ["b"]
    assert plugins.names(Role.BACKUP) == []


def test_a_wrapper_is_no_implementation():
    plugins = Registry([plugin("w", holdstill_open=around([]))])
    assert not plugins.implements("w", "holdstill_open")


def test_an_unknown_plugin_is_an_error_never_a_silent_none():
    with pytest.raises(
        UnavailableError, match=r"holdstill_undo: there is no plugin 'kparx'; did you mean 'kpartx'\?"
    ):
        call(Registry([plugin("kpartx", holdstill_undo=None)]), "kparx", "holdstill_undo")


def test_a_plugin_without_the_hook_is_an_error_never_a_silent_none():
    with pytest.raises(UnavailableError, match="holdstill_still: the plugin 'p' does not do that"):
        call(Registry([plugin("p", holdstill_undo=None)]), "p", "holdstill_still")


def test_a_broken_plugin_that_is_needed_is_told_with_its_origin_and_reason():
    plugins = Registry([Found(name="p", origin="/etc/p.py", broken="SyntaxError: x")])
    with pytest.raises(
        UnavailableError, match=r"the plugin 'p' \(/etc/p.py\) cannot be used: SyntaxError: x"
    ):
        call(plugins, "p", "holdstill_undo")


# Calls


def around(heard, change=lambda result: result):
    @hookimpl(wrapper=True)
    def wrapper():
        heard.append("before")
        result = yield
        heard.append("after")
        return change(result)

    return wrapper


def test_a_step_hook_reaches_the_named_plugin_alone():
    plugins = Registry([plugin("a", holdstill_open=1), plugin("b", holdstill_open=2)])
    assert [call(plugins, name, "holdstill_open") for name in ("a", "b")] == [1, 2]


def test_every_wrapper_is_called_around_whichever_plugin_is_named():
    heard = []
    plugins = Registry(
        [
            plugin("w", holdstill_open=around(heard, lambda result: result * 10)),
            plugin("a", holdstill_open=1),
            plugin("b", holdstill_open=2),
        ]
    )
    assert [call(plugins, name, "holdstill_open") for name in ("a", "b")] == [10, 20]
    assert heard == ["before", "after"] * 2


def test_a_wrapper_of_one_hook_hears_nothing_of_another():
    heard = []
    plugins = Registry(
        [plugin("w", holdstill_open=around(heard)), plugin("a", holdstill_open=1, holdstill_undo=None)]
    )
    call(plugins, "a", "holdstill_undo")
    assert heard == []


def test_a_hook_gets_the_arguments_that_it_asks_for():
    @hookimpl
    def holdstill_undo(host, facts):
        return facts, host

    assert call(
        Registry([plugin("p", holdstill_undo=holdstill_undo)]), "p", "holdstill_undo", facts=1, host=2
    ) == (1, 2)


def test_a_phase_hook_reaches_every_plugin_the_last_one_first():
    heard = []
    plugins = Registry(
        [
            plugin(name, holdstill_prepare=hookimpl(lambda name=name: heard.append(name)))
            for name in ("core", "a", "b")
        ]
    )
    phase(plugins, "holdstill_prepare")
    assert heard == ["b", "a", "core"]


def test_a_phase_is_wrapped_around_all_of_it():
    heard = []
    core = plugin("core", holdstill_release=hookimpl(lambda: heard.append("core")))
    phase(Registry([core, plugin("w", holdstill_release=around(heard))]), "holdstill_release")
    assert heard == ["before", "core", "after"]


@pytest.mark.parametrize(
    "error", [ValueError("odd"), KeyError("k"), AssertionError(), SystemExit(3), KeyboardInterrupt()]
)
def test_whatever_a_plugin_raises_that_is_none_of_our_errors_is_its_defect(error):
    plugins = Registry([plugin("p", holdstill_open=raising(error), holdstill_backup=raising(error))])
    with pytest.raises(
        PluginBugError, match=f"A defect in the plugin 'p': holdstill_open raised {type(error).__name__}"
    ):
        call(plugins, "p", "holdstill_open")
    with pytest.raises(PluginBugError, match="A defect in a plugin: holdstill_backup raised") as caught:
        phase(plugins, "holdstill_backup")
    assert caught.value.code == 70
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [BackupError("torn"), UnavailableError("busy"), RunInterrupted(15)])
def test_our_own_errors_come_through_as_they_are(error):
    plugins = Registry([plugin("p", holdstill_open=raising(error))])
    with pytest.raises(type(error)) as caught:
        call(plugins, "p", "holdstill_open")
    assert caught.value is error


# Options


def test_a_plugin_that_says_nothing_of_options_has_none():
    assert Registry([plugin("p", holdstill_open=())]).options_of("p") is NoOptions


def test_the_type_of_a_plugins_options_is_what_it_says():
    assert Registry([plugin("p", holdstill_options=NoOptions)]).options_of("p") is NoOptions


@pytest.mark.parametrize("nonsense", [None, {}, int, NoOptions(), "Options"])
def test_options_that_are_no_struct_are_the_plugins_defect(nonsense):
    with pytest.raises(PluginBugError, match=r"answered holdstill_options with no msgspec\.Struct"):
        Registry([plugin("p", holdstill_options=nonsense)]).options_of("p")
