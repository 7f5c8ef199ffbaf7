"""Names to things: one `Registry` for each kind of thing that a user may add.

What comes with the package is a string `module:name`, so that importing the package imports none of it. An installed
plug-in adds to a kind through its entry-point group, a script through `Registry.register`, and a command line or a
suite by writing `module:name` or `file.py:name` in place of a name.

A folder of results may be a stranger's, and its files may write such a name too: `refusing_code` stands around every
command that reads settings from one.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar, cast

from reasonenv.errors import UserError, unknown
from reasonenv.sources import PACKAGE, SourceLoader, compile_from_source

T = TypeVar("T")

PROGRAMS = {"__main__", "__mp_main__"}  # modules that start a run and, unless they define a part of it, are none of it
_REFUSING: list[tuple[str, frozenset[str]]] = []  # whose names load no code, and the references that a person has typed
_registered = 0  # calls of `Registry.register` so far
_NAMED: set[str] = set()  # modules that were loaded because a name such as `module:name` names them


@cache
def _installed() -> Any:
    """Of all packages; reading their records takes a tenth of a second, so it is done once."""
    return entry_points()


class Registry(Generic[T]):
    """The things of one `kind` by name.

    `group` is the entry-point group of plug-ins; `check` raises `UserError` for what is no such thing. Iterating and
    `in` know the plug-ins too; names come in the order in which they were added. What is registered replaces what had
    the name before; a plug-in replaces nothing.
    """

    def __init__(
        self, kind: str, group: str, builtin: Mapping[str, str | T], check: Callable[[str, Any], None] | None = None
    ) -> None:
        self.kind, self.group = kind, group
        self._builtin = frozenset(builtin)
        self._entries: dict[str, str | T] = dict(builtin)
        self._check = check
        self._complete = False

    def register(self, name: str, entry_point: str | T) -> None:
        """Adds a thing, or the `module:name` at which it will be looked for.

        Raises `UserError` for a name that is empty or has a colon, by which `find` knows a reference.
        """
        if not name or ":" in name:
            raise UserError(f"{self.kind} {name!r} cannot be registered; a name is a text without a colon")
        global _registered
        _registered += 1
        self._entries[name] = entry_point

    def find(self, name: str) -> T:
        """The thing called `name`, or at `module:name` or `file.py:name`.

        Raises `UserError` for an unknown name, with the nearest, and for one that cannot be imported.
        """
        self.check_name(name)
        thing: Any = name
        if ":" in name:
            admit(name)
        else:
            thing = self._entries[name]
        if isinstance(thing, str):
            thing = load(thing)
        if self._check is not None:
            self._check(name, thing)
        return cast(T, thing)

    def name_of(self, thing: str | T) -> str:
        """The text by which `find` finds a thing; a text is one already.

        That of a thing of a module is its name here or `module:name`. One that a script or a notebook defines itself is
        registered by its name, in place of an earlier one of theirs. Raises `UserError` for a thing without a name,
        such as a lambda, and for a name that something else has.
        """
        if isinstance(thing, str):
            return thing
        name, module = str(getattr(thing, "__name__", "")), str(getattr(thing, "__module__", ""))
        reference = f"{module}:{name}"
        for known, entry in self._entries.items():
            if entry is thing or entry == reference:
                return known
        if not name.isidentifier():
            raise UserError(
                f"{self.kind} {thing!r} has no name, by which a run could find it; write it with def or class, or "
                "name it in a file, file.py:name"
            )
        if module not in PROGRAMS and getattr(sys.modules.get(module), name, None) is thing:
            return reference
        if name in self and isinstance(self._entries[name], str):
            raise UserError(f"{self.kind} {name!r} is something else already; give yours another name")
        self.register(name, thing)
        return name

    def call(self, name: str, *arguments: Any) -> Any:
        """What the thing called `name` returns. Raises `UserError` that names a user's one if it fails."""
        thing: Any = self.find(name)
        try:
            return thing(*arguments)
        except (Exception, SystemExit) as error:
            if isinstance(error, UserError) or not self.is_users(name):
                raise
            raise UserError(f"{self.kind} {name!r} failed: {type(error).__name__}: {error}") from error

    def module(self, name: str) -> str | None:
        """The module, by its name in `sys.modules`, in which `find` looks; None for what a script has registered."""
        entry_point = name if ":" in name else self._entries.get(name)
        if isinstance(entry_point, str):
            return module_name(entry_point.rpartition(":")[0])
        return None

    def check_name(self, name: str) -> None:
        """Raises `UserError`, with the nearest names, for a `name` that `find` does not know. Imports nothing."""
        if ":" not in name and name not in self:
            raise unknown(self.kind, name, self)

    def is_users(self, name: str) -> bool:
        """Whether the thing called `name` is not one that comes with the package."""
        return name not in self._builtin

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._with_plugins()

    def __iter__(self) -> Iterator[str]:
        return iter(self._with_plugins())

    def _with_plugins(self) -> Mapping[str, str | T]:
        if not self._complete:
            for plugin in _installed().select(group=self.group):
                self._entries.setdefault(plugin.name, plugin.value)
            self._complete = True
        return self._entries


def registrations() -> int:
    """A number that is another once anything has been registered in any registry."""
    return _registered


@contextmanager
def refusing_code(place: str, typed: Iterable[str] = ()) -> Iterator[None]:
    """Within it a reference, `module:name` or `file.py:name`, is a `UserError` that names `place` and runs nothing.

    But for those in `typed`, words of a command line. What comes with the package or with an installed plug-in has a
    name without a colon and is found as ever.
    """
    references = set[str]()
    for word in typed:  # a setting may name several things, and dynamics have a strength behind their name
        for part in (word, *word.split("+")):
            references.update((part, part.rpartition(":")[0]))
    _REFUSING.append((place, frozenset(references)))
    try:
        yield
    finally:
        _REFUSING.pop()


def admit(reference: str) -> None:
    """Raises `UserError` for a reference whose code is not to run. From here on its module is also looked for here."""
    for place, typed in _REFUSING:
        if reference not in typed:
            raise UserError(
                f"{place} names code, {reference!r}, which would run with your rights; read it, then add "
                "--trust-code, from Python trust_code=True"
            )
    if os.getcwd() not in sys.path:  # as for `python -m`, but not for what is imported before anybody names a module
        sys.path.append(os.getcwd())


def load(reference: str) -> Any:
    """The object at `module:name`; `file.py:name` reads a user's own file. Raises `UserError` if it is not there."""
    module, _, name = reference.rpartition(":")
    loaded = import_named(module, reference)
    if not hasattr(loaded, name):
        raise unknown(f"name in {module!r}", name, (n for n in vars(loaded) if not n.startswith("_")))
    return getattr(loaded, name)


def module_name(module: str) -> str:
    """The name in `sys.modules` of the `module` of a reference."""
    return str(Path(module).expanduser().resolve()) if module.endswith(".py") else module


def named_modules() -> frozenset[str]:
    """The modules, in `sys.modules`, that this process has loaded because the name of a thing names them."""
    return frozenset(_NAMED & sys.modules.keys())


def import_named(module: str, reference: str) -> ModuleType:
    """The module of a reference. Raises `UserError`, whatever the user's own code raises when it is imported."""
    if not module or (module.startswith(".") and not module.endswith(".py")):
        raise UserError(f"{reference!r} names no module; write module:name or file.py:name")
    if module.partition(".")[0] != PACKAGE:
        compile_from_source()
    _NAMED.add(module_name(module))
    try:
        if module.endswith(".py"):
            return _file(Path(module_name(module)))
        return importlib.import_module(module)
    except (ImportError, SyntaxError) as error:
        raise UserError(f"cannot import {module!r} of {reference!r}: {error}") from error
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # of the user's own code
        raise UserError(f"cannot import {module!r} of {reference!r}: {type(error).__name__}: {error}") from error


def _file(path: Path) -> ModuleType:
    """A user's own file as a module. Its name is its path, so that a `math.py` stands in for nothing."""
    name = str(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceLoader(name, name))
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"there is no file {name}")
    loaded = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]
        raise
    return loaded
