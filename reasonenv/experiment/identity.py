"""The code of a run: the files that define its agent, task, verifier, rewards and dynamics, and the package's version.

A run that goes on, or is asked for again, with other code is another run. A name such as `mine.py:Centred` does not
tell, so a run stores the hash of every file below and a copy of it in `OUT/code/`.

What counts    files of every class in the method resolution order of agent, `Config` and dynamics; of the task's
               factory, its verifier, rewards and metrics, of the terms of the reward, and of what these hold (arguments
               of a `partial`, closures, what a decorator wraps, attributes of an object); the file that a name such as
               `mine.py:Centred` or `package.module:Name` means; all that these import, unless it is installed
               (`site-packages`); the modules beside them or below that their texts name, as in
               `import_module("rules")`, and those that are loaded, unless another agent or task imports them.
What does not  the standard library and torch, which `environment.json` names, and this package itself but for its
               `agents` and `envs`: its version stands for the rest, and counts.

What stands in no file, because it was typed into a notebook, counts by the text of its definition: see `typed_code.py`.

Bytes are compared, so an edit of a comment or a docstring counts too: what it changes is not for us to judge. A run of
an older version can be read, reported on and compared; it cannot be gone on with, nor stand for a run of this version.
A task is made before its verifier is known, so the name of a suite's cell holds what can be known without data: of a
verifier that is defined neither with its task nor in what that imports, only `train` sees a change.
"""

from __future__ import annotations

import ast
import functools
import gc
import hashlib
import importlib.util
import inspect
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from types import CellType
from typing import Any

from reasonenv.catalog import AGENTS, environment_module, find_agent, make_task, task_factory
from reasonenv.errors import UserError
from reasonenv.experiment.config import RunConfig
from reasonenv.experiment.typed_code import TypedCode, typed_parts
from reasonenv.learn.curriculum import read_levels
from reasonenv.mdp.config import divided
from reasonenv.mdp.dynamics import named_variants
from reasonenv.mdp.replies import REPLIES
from reasonenv.mdp.rewards import is_registered, reward_terms
from reasonenv.mdp.specs import code
from reasonenv.mdp.tools import TOOLS
from reasonenv.registry import PROGRAMS, named_modules
from reasonenv.rollout import SEARCHES
from reasonenv.sampling import SAMPLERS
from reasonenv.sources import PACKAGE, SourceLoader, is_installed, is_standard
from reasonenv.storage import naming
from reasonenv.tasks import Task
from reasonenv.version import VERSION

FOLDER = "code"  # of a run, for the copies
CONTAINERS = (dict, list, tuple, set, frozenset, functools.partial, CellType)
SHIPPED = ("reasonenv.agents.", "reasonenv.envs.")
EXCLUDED = {"torch", PACKAGE}


@dataclass(frozen=True)
class Code:
    """The files of a run by name, such as `mine.py` or `reasonenv/agents/grpo.py`."""

    files: Mapping[str, bytes]

    @functools.cached_property
    def record(self) -> dict[str, Any]:
        """What is stored of it: the version of the package and the SHA-256 of every file."""
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in sorted(self.files.items())}
        return {"reasonenv": VERSION, "files": hashes}

    def save(self, out: Path) -> None:
        """Leaves the files in `out/code`, whole or not at all."""
        partial, final = out / f".{FOLDER}.partial", out / FOLDER
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        for name, content in self.files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            with naming(final):
                (partial / name).write_bytes(content)
        shutil.rmtree(final, ignore_errors=True)
        partial.rename(final)


def code_of(run: RunConfig, *tasks: Task) -> Code:
    """The code of a run, with that of the verifiers of its `tasks` if there are any already.

    Raises `UserError` for what is defined in no file, and for a file that is gone or cannot be read.
    """
    modules: list[str] = []
    typed = TypedCode()
    for thing in (*_things(run), *_functions(tasks)):
        for part in _parts(thing):
            modules += _defining(part)
            for definition in typed_parts(part):
                typed.add(definition)
    if typed.files:
        modules = [name for name in (*modules, *typed.modules) if name not in PROGRAMS]
    modules += [name for name in (AGENTS.module(run.agent), environment_module(run.env)) if name is not None]
    sources = _Sources()
    sources.add(name for name in modules if _counts(name))
    if sources.folders:
        named = named_modules() - sources.modules.keys()
        others = _Sources()
        others.add(name for name in sorted(named) if _is_users_module(name))
        sources.add(_loaded_beside(sources, others))
    return Code({**sources.files, **typed.files})


class _Sources:
    """Modules with the files that define them, closed under imports."""

    def __init__(self) -> None:
        self.modules: dict[str, Path] = {}
        self.files: dict[str, bytes] = {}  # by label
        self._paths: dict[str, Path] = {}  # by label
        self._resolved: set[Path] = set()

    def add(self, modules: Iterable[str]) -> None:
        """Adds the files of modules, and of the user's modules that these import."""
        waiting = list(dict.fromkeys(modules))
        while waiting:
            name = waiting.pop(0)
            file = _file(name)
            if file is None:
                raise UserError(
                    f"what a run uses of module {name!r} is defined in no file, so its code cannot be known"
                )
            path = Path(file)
            if path.resolve() in self._resolved:
                continue
            self._resolved.add(path.resolve())
            label = _label(name, path, self._paths)
            self.modules[name] = self._paths[label] = path
            self.files[label] = _content(name, path)
            if path.suffix == ".py" and _is_followed(name, path):
                waiting += _imports(name, path, self.files[label])

    @property
    def folders(self) -> set[Path]:
        """The folders of the user's own files, as they are imported and as they are on the disk."""
        folders = set()
        for name, path in self.modules.items():
            if _is_users(name, path):
                folders |= {path.parent, path.resolve().parent}
        return folders


def _loaded_beside(sources: _Sources, others: _Sources) -> list[str]:
    """The user's modules that are loaded from the folders of `sources` or below, but not for `others` alone.

    A name that is put together while a program runs is in no text, so what such an import has loaded is seen only here.
    """
    beside = []
    folders = tuple(f"{folder}{os.sep}" for folder in sources.folders)
    for name in sorted(sys.modules.keys() - sources.modules.keys() - others.modules.keys() - PROGRAMS):
        file = getattr(sys.modules[name], "__dict__", {}).get("__file__")  # a lazy module is not to be woken
        if isinstance(file, str) and file.startswith(folders) and _is_users(name, Path(file)):
            beside.append(name)
    return beside


def _is_users(module: str, path: Path) -> bool:
    """Whether a file is the user's own: of no installed package, neither this one nor Python."""
    return module.partition(".")[0] not in EXCLUDED and not is_installed(path) and not is_standard(path)


def _is_followed(module: str, path: Path) -> bool:
    """Whether what a file imports counts too: a user's own, or one of the shipped agents and envs."""
    return module.startswith(SHIPPED) or _is_users(module, path)


def _is_users_module(module: str) -> bool:
    file = _file(module)
    return file is not None and _is_users(module, Path(file))


def difference(there: Any, here: Mapping[str, Any]) -> str | None:
    """How the record of a run's code differs from the record `here`; None if it does not.

    `there` is whatever stands in a folder: a record that is none differs.
    """
    if not isinstance(there, dict) or not isinstance(there.get("files"), dict):
        return "it does not say with which code"
    for name, digest in here["files"].items():
        if name not in there["files"]:
            return f"{name} is new"
        if there["files"][name] != digest:
            return f"{name} is not what it was"
    gone = sorted(there["files"].keys() - here["files"].keys())
    if gone:
        return f"{gone[0]!s:.80} is no part of it any more"
    if there.get("reasonenv") != here["reasonenv"]:
        return f"reasonenv was {there.get('reasonenv')!s:.20} and is {here['reasonenv']}"
    return None


def edited(there: Mapping[str, Any], here: Mapping[str, Any]) -> str | None:
    """As `difference`, of the files that both records have.

    Which modules are loaded beside a run may differ between two processes; a file of both that is equal in both may not
    import other ones.
    """
    common = there["files"].keys() & here["files"].keys()
    first = {name: there["files"][name] for name in common}
    second = {name: here["files"][name] for name in common}
    return difference({**there, "files": first}, {**here, "files": second})


def _things(run: RunConfig) -> Iterator[Any]:
    """Classes and functions that a run names."""
    agent = find_agent(run.agent)
    yield from (agent, agent.Config, task_factory(run.task))
    if SAMPLERS.is_users(run.sampler):  # others are the package's, and may need what is not installed here
        yield SAMPLERS.find(run.sampler)
    if run.search is not None and SEARCHES.is_users(run.search):
        yield SEARCHES.find(run.search)
    levels = [] if run.curriculum is None else read_levels(run.curriculum)
    for keys in (run.env_keys, *levels):
        reward = keys.get("reward", "sparse")
        yield from reward_terms(reward, _of_task(run, reward)).values()
        yield from (kind for kind, _ in named_variants(_stated(keys, "stochastic")))
        yield from code(REPLIES, _stated(keys, "replies"))
        yield from code(TOOLS, _stated(keys, "tools"))


def _stated(keys: Mapping[str, Any], key: str) -> Any:
    """A setting of a level, whose values are texts, or of a run; None for none."""
    value = keys.get(key)
    return None if str(value).lower() == "none" else value


def _functions(tasks: Iterable[Task]) -> Iterator[Any]:
    """The functions of tasks."""
    for task in tasks:
        yield from (task.verify, *task.rewards.values(), *task.metrics.values())


def _of_task(run: RunConfig, reward: Any) -> Mapping[str, Any]:
    """The task's own rewards, if one of them is named: the task is made for no other reason."""
    return {} if is_registered(reward) else make_task(run.task, **divided(run.env_keys)[1]).rewards


def _parts(thing: Any) -> Iterator[Any]:
    """A class, a function or an object, and the user's things that it holds; see `_held`."""
    seen: dict[int, Any] = {}  # kept alive, so that no two things have one id
    waiting = [thing]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        if part is thing or isinstance(part, type) or inspect.isroutine(part) or _is_users_object(part):
            yield part
            waiting += _held(part)
        elif isinstance(part, CONTAINERS):
            waiting += _held(part)


def _defining(thing: Any) -> list[str]:
    """The modules in which a thing itself is defined: of a class, those of its bases too."""
    if isinstance(thing, functools.partial):
        return _defining(thing.func)
    if inspect.ismethod(thing):
        return _defining(thing.__self__)
    if inspect.isfunction(thing):
        # A decorator gives its inner function the name of what it wraps; where it stands is where its globals are.
        standing = str(thing.__globals__.get("__name__"))
        known = getattr(sys.modules.get(standing), "__dict__", None) is thing.__globals__
        stated = str(thing.__module__)
        return [stated, standing] if known else [stated]
    if inspect.isbuiltin(thing):
        return [thing.__module__] if isinstance(thing.__module__, str) else []
    kind = thing if isinstance(thing, type) else type(thing)
    return [base.__module__ for base in kind.__mro__]


def _held(thing: Any) -> list[Any]:
    """What a thing calls or reads without naming it: arguments, closures, what is wrapped or bound, attributes."""
    if isinstance(thing, type):
        return []
    if inspect.isfunction(thing):  # without its globals: what it uses of them, its file says
        return [thing.__defaults__, thing.__kwdefaults__, thing.__closure__, thing.__dict__]
    return gc.get_referents(thing)


def _is_users_object(thing: Any) -> bool:
    module = type(thing).__module__
    if module in sys.builtin_module_names:  # most of what a closure holds is texts and numbers
        return False
    return _is_users_module(module)


def _counts(module: str) -> bool:
    """Whether what a module defines is a part of the run, rather than of Python, torch or the framework."""
    if module.startswith(SHIPPED):
        return True
    top = module.partition(".")[0]
    if top in EXCLUDED:
        return False
    file = _file(module)
    if file is None:  # of Python itself: a module that is compiled into it
        return top not in sys.stdlib_module_names
    return not is_standard(Path(file))


def _file(module: str) -> str | None:
    """The file that defines a module, loaded or not; None if there is none."""
    return getattr(sys.modules.get(module), "__file__", None) or _unloaded(module)


def _unloaded(module: str) -> str | None:
    """Where a module that is not imported yet would be read from. Imports nothing."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return spec.origin if spec.has_location else None
    for folder in spec.submodule_search_locations or ():
        base = Path(folder, *rest)
        for path in (base.with_suffix(".py"), base / "__init__.py"):
            if path.is_file():
                return str(path)
    return None


def _content(module: str, path: Path) -> bytes:
    loader = getattr(sys.modules.get(module), "__loader__", None)
    if isinstance(loader, SourceLoader):
        return loader.source  # what runs, whatever the file has become meanwhile
    if not path.is_file():
        raise UserError(f"the code of the run cannot be known: {path} is no file any more; put it back")
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"the code of the run cannot be known: {path} cannot be read ({error.strerror})") from error


def _label(module: str, path: Path, taken: Mapping[str, Path]) -> str:
    """A name for a file that does not depend on where the machine keeps it; two files never share one."""
    parts = module.split(".")
    dotted = all(part.isidentifier() for part in parts) and module != "__main__"
    package = ("__init__",) if dotted and path.stem == "__init__" else ()
    label = "/".join((*parts, *package)) + path.suffix if dotted else path.name
    for parent in path.resolve().parents:
        if label not in taken:
            return label
        label = f"{parent.name or 'root'}/{label}"
    return label


def _imports(module: str, path: Path, source: bytes) -> Iterator[str]:
    """The user's own modules, and the shipped agents and envs, that a file imports anywhere in its text."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"the code of the run cannot be known: {path} is not Python ({error})") from error
    for name in dict.fromkeys(_names(tree, module, package=path.stem == "__init__")):
        file = _file(name)
        if file is not None and _is_followed(name, Path(file)):
            yield name
    if not _is_users(module, path):
        return
    folder = path.resolve().parent
    for name in dict.fromkeys(_texts(tree)):
        file = _file(name)
        if file is not None and _is_users(name, Path(file)) and folder in Path(file).resolve().parents:
            yield name


def _texts(tree: ast.AST) -> Iterator[str]:
    """Every text in `tree` that may be the name of a module, as in `import_module("rules")`, and its packages."""
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and all(part.isidentifier() for part in text.split(".")):
            yield from _prefixes(text)


def _names(tree: ast.AST, module: str, *, package: bool) -> Iterator[str]:
    """Every dotted name that may be a module in the import statements of `tree`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _prefixes(alias.name)
        elif isinstance(node, ast.ImportFrom):
            start = _base(node, module, package=package)
            yield from _prefixes(start)
            for alias in node.names:
                yield f"{start}.{alias.name}"


def _base(node: ast.ImportFrom, module: str, *, package: bool) -> str:
    """The module from which `node`, in the file of `module`, imports names."""
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    above = node.level - package  # of a package itself, one dot is the package
    parents = parts[: len(parts) - above]
    return ".".join(filter(None, (*parents, node.module)))


def _prefixes(name: str) -> Iterator[str]:
    """`a`, `a.b` and `a.b.c` of `a.b.c`: importing the last one runs the others."""
    return accumulate(name.split("."), "{}.{}".format)
