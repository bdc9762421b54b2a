"""The plugins of this host, and how the framework talks to them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
import pluggy

from holdstill import hookspecs
from holdstill.errors import HoldstillError, PluginBugError, UnavailableError
from holdstill.plugins.api import mismatch
from holdstill.plugins.load import Found
from holdstill.plugins.overseer import Bounded, Overseer
from holdstill.text import nearest
from holdstill.words import NoOptions, Role

if TYPE_CHECKING:
    from pluggy._hooks import HookImpl

T = TypeVar("T")

CORE = "holdstill"
"What the framework's own part is called."
HOOK_OF = {
    Role.QUIESCE: "holdstill_quiesce",
    Role.SNAPSHOT: "holdstill_snapshot",
    Role.OPEN: "holdstill_open",
    Role.BACKUP: "holdstill_make_backup",
    Role.VERIFY: "holdstill_verify_backup",
}


class Registry:
    """All plugins, by name."""

    def __init__(self, found: Iterable[Found] = ()) -> None:
        self._manager = pluggy.PluginManager("holdstill")
        self._manager.add_hookspecs(hookspecs)
        self.found: list[Found] = []
        self.overseer = Overseer()
        for plugin in found:
            self.add(plugin)

    def add(self, found: Found) -> None:
        """Register a plugin, or remember why it cannot be."""
        broken = found.broken or mismatch(found.plugin) or self._register(found)
        self.found.append(msgspec.structs.replace(found, broken=broken))

    def _register(self, found: Found) -> str:
        try:
            self._manager.register(found.plugin, found.name)
        except (pluggy.PluginValidationError, TypeError) as error:
            if self._manager.get_name(found.plugin):  # older releases of pluggy leave it half registered
                self._manager.unregister(found.plugin)
            return _unfit(str(error))
        except ValueError:
            return f"the name {found.name!r}, or the module, is registered already"
        broken = self._misspelt(found.plugin) or self._two_faced(found.plugin)
        if broken:
            self._manager.unregister(found.plugin)
        return broken

    def _misspelt(self, plugin: object) -> str:
        """pluggy passes over a hook that does not exist: a quiesce that is never called."""
        known = [name for name in vars(hookspecs) if name.startswith("holdstill_")]
        callers = self._manager.get_hookcallers(plugin) or []
        unknown = [caller.name for caller in callers if not caller.has_spec()]
        return f"there is no hook {unknown[0]!r}{nearest(unknown[0], known)}" if unknown else ""

    def _two_faced(self, plugin: object) -> str:
        """A step's own implementation and a wrapper of everybody's cannot be told apart in one module."""
        for caller in self._manager.get_hookcallers(plugin) or []:
            faces = [impl.wrapper for impl in caller.get_hookimpls() if impl.plugin is plugin]
            if caller.name in hookspecs.STEP_HOOKS and len(faces) > 1:
                return f"it implements {caller.name!r} twice; put a wrapper into a plugin of its own"
        return ""

    def names(self, role: Role) -> list[str]:
        """Names of the plugins that can be a step of that role; the framework's own part is none."""
        names = [found.name for found in self.found if found.name != CORE]
        if role is Role.AROUND:
            return [name for name in names if self._takes_part(name)]
        return [name for name in names if self.implements(name, HOOK_OF[role])]

    def _takes_part(self, name: str) -> bool:
        """Whether a plugin has a part in any phase, or wraps one, and is not named for a step of its own already."""
        if any(self.implements(name, hook) for hook in HOOK_OF.values()):
            return False
        impls = (impl for hook in hookspecs.PHASE_HOOKS for impl in self._caller(hook).get_hookimpls())
        return any(impl.plugin_name == name for impl in impls)

    def implements(self, name: str, hook: str) -> bool:
        """Tell whether the plugin of that name implements a hook itself (wrapping it does not count)."""
        return any(_own(impl, name) for impl in self._caller(hook).get_hookimpls())

    def having(self, hook: str) -> list[str]:
        """Names of the plugins that implement a hook."""
        return [found.name for found in self.found if self.implements(found.name, hook)]

    def options_of(self, name: str) -> type[msgspec.Struct]:
        """Give the type of a plugin's options."""
        if not self.implements(name, "holdstill_options"):
            return NoOptions
        answer = self.call(name, "holdstill_options")
        if not (isinstance(answer, type) and issubclass(answer, msgspec.Struct)):
            raise PluginBugError(f"The plugin {name!r} answered holdstill_options with no msgspec.Struct.")
        try:
            msgspec.structs.fields(answer)
        except Exception as error:  # an annotation that leads nowhere
            raise PluginBugError(f"The options of the plugin {name!r} are no types: {error}.") from error
        return answer

    def absent(self, name: str, what: str) -> str:
        """Say why there is no plugin ``name`` that does ``what``."""
        for found in self.found:
            if found.name == name and found.broken:
                return f"the plugin {name!r} ({found.origin}) cannot be used: {found.broken}"
        known = [found.name for found in self.found if not found.broken]
        reason = f"the plugin {name!r} does not do that" if name in known else f"there is no plugin {name!r}"
        return f"{what}: {reason}{nearest(name, [other for other in known if other != name])}"

    def call(self, name: str, hook: str, **arguments: Any) -> Any:
        """Call one plugin's hook, inside everybody's wrappers.

        Raises UnavailableError if there is no such plugin or it has no such hook (never a silent ``None``),
        PluginBugError for whatever it raises that is not an error of ours.
        """
        if not self.implements(name, hook):
            raise UnavailableError(f"{self.absent(name, hook)}.")
        others = [impl.plugin for impl in self._caller(hook).get_hookimpls() if not _meant(impl, name)]
        caller = self._manager.subset_hook_caller(hook, others)
        with self.overseer.watching(_plugin(name), hook):
            return _guarded(_plugin(name), hook, caller, arguments)

    def context(
        self, name: str, hook: str, manager: AbstractContextManager[T], *, longer: float = 0
    ) -> Bounded[T]:
        """Give a context that a plugin's hook has answered with, as one that must be entered and left in time.

        That is the hook's, and ``longer`` by so many seconds. Raises PluginBugError if it is none.
        """
        if not isinstance(cast("object", manager), AbstractContextManager):
            raise PluginBugError(
                f"The plugin {name!r} answered {hook} with {type(manager).__name__}, which is no context manager. "
                "Does it end with «return»?"
            )
        return Bounded(manager, partial(self.overseer.watching, _plugin(name), hook, longer=longer))

    def asked(self, name: str, hook: str, kind: Any, **arguments: Any) -> Any:
        """Call one plugin's hook, and take nothing for its answer that is not of that type.

        Raises what :meth:`call` raises, and PluginBugError for any other answer.
        """
        answer = self.call(name, hook, **arguments)
        try:
            return msgspec.convert(answer, kind)
        except msgspec.ValidationError as error:
            raise PluginBugError(
                f"The plugin {name!r} answered {hook} with nonsense: {error}; it is to give {_in_words(kind)}."
            ) from None

    def phase(self, hook: str, **arguments: Any) -> None:
        """Call a phase hook of every plugin."""
        with self.overseer.watching("a plugin", hook):
            _guarded("a plugin", hook, self._caller(hook), arguments)

    def tell(self, hook: str, **arguments: Any) -> list[HoldstillError]:
        """Call a hook of every plugin that has it, each by itself: one that raises silences none of the others."""
        failed = []
        for name in self._in_order(hook):
            try:
                self.call(name, hook, **arguments)
            except HoldstillError as error:
                failed.append(error)
        return failed

    def _in_order(self, hook: str) -> list[str]:
        """Names of the plugins that have a hook, as they were loaded, those that want it so first."""
        first = {impl.plugin_name for impl in self._caller(hook).get_hookimpls() if impl.tryfirst}
        return sorted(self.having(hook), key=lambda name: name not in first)

    def _caller(self, hook: str) -> pluggy.HookCaller:
        caller: pluggy.HookCaller = getattr(self._manager.hook, hook)
        return caller


def _in_words(kind: Any) -> str:
    """Write a type as a plugin's author does, who imports its names."""
    return re.sub(
        r"\b(?:[a-z_]+\.)+", "", getattr(kind, "__name__", "") if isinstance(kind, type) else str(kind)
    )


def _unfit(told: str) -> str:
    """Say what is wrong with a hook, of which pluggy tells."""
    found = re.search(r"for hook '(\w+)'.*Argument\(s\) {'(\w+)'", told, re.DOTALL)
    if not found:
        return told.splitlines()[-1]
    known = inspect.signature(getattr(hookspecs, found[1])).parameters
    hint = nearest(found[2], known) or f"; it has {', '.join(known)}"
    return f"{found[1]} has no argument {found[2]!r}{hint}"


def _plugin(name: str) -> str:
    return f"the plugin {name!r}"


def _own(impl: HookImpl, name: str) -> bool:
    return impl.plugin_name == name and not (impl.wrapper or impl.hookwrapper)


def _meant(impl: HookImpl, name: str) -> bool:
    return _own(impl, name) or bool(impl.wrapper or impl.hookwrapper)


def _guarded(who: str, hook: str, caller: Any, arguments: dict[str, Any]) -> Any:
    try:
        return caller(**arguments)
    except HoldstillError:
        raise
    except (Exception, SystemExit, KeyboardInterrupt, GeneratorExit) as error:
        raise PluginBugError(
            f"A defect in {who}: {hook} raised {type(error).__name__}: {error}. The traceback is in the log."
        ) from error
