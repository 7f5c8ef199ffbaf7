"""The program of a child process of `code`: restricts itself, then runs a solution, or the tests that call one.

The tests never share a process with the solution. What crosses between the two is plain data in JSON (`encode`), so a
solution can answer calls and nothing else: it cannot print, raise, patch or exit its way to a pass. Roles, by the job:

    program    runs the solution as a script on its standard input and output
    functions  runs the solution, then answers calls: a line [name, args, kwargs] in, ["value" | "raised", ..] out
    tests      runs the tests; every name that they use and nobody else has is a function of the solution

The parent reads standard error: `ready` and the restrictions that are in force, then what `main` says, in lines.
"""

from __future__ import annotations

import ast
import builtins
import json
import os
import sys
from collections.abc import Callable, Iterable
from importlib.util import module_from_spec, spec_from_file_location
from itertools import islice
from types import ModuleType
from typing import Any

MAX_LINE = 1 << 22  # characters of one call or one reply
MAX_ITEMS = 100_000  # of an iterator that a function returns

_FAILED, _BAD_TESTS = "failed", "bad tests"


class _Gone(Exception):
    """The solution is no longer there, or what it says is no reply."""


class _NotPlain(TypeError):
    """A value that cannot cross."""


def main(descriptor: int) -> None:
    """Reads the job from a file, closes it, and does it."""
    with os.fdopen(descriptor) as file:
        job = json.load(file)
    report = os.fdopen(os.dup(2), "w", buffering=1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 2)
    calls = replies = -1
    if job["role"] != "program":
        calls, replies = os.dup(0), os.dup(1)
        os.dup2(null, 0)
        os.dup2(null, 1)
    os.close(null)
    in_force = _restrictions().enforce(job["seconds"], job["megabytes"])
    sys.set_int_max_str_digits(0)
    print("ready", *in_force, file=report)
    if job["role"] == "tests":
        link = _Link(os.fdopen(calls, encoding="utf-8"), os.fdopen(replies, "w", encoding="utf-8"))
        print(_test(job["tests"], job["entry_point"], link), file=report)
        return
    try:
        code = compile(job["code"], "solution.py", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        print("syntax", file=report)
        return
    report.close()  # nothing that the solution does can be heard there
    module = ModuleType({"program": "__main__", "functions": "solution"}[job["role"]])
    sys.modules[module.__name__] = module
    exec(code, module.__dict__)
    if job["role"] == "functions":
        _serve(module.__dict__, os.fdopen(calls, encoding="utf-8"), os.fdopen(replies, "w", encoding="utf-8"))


def _restrictions() -> ModuleType:
    """`restrictions.py` beside this file, without a package around it."""
    spec = spec_from_file_location("restrictions", os.path.join(os.path.dirname(__file__), "restrictions.py"))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The side of the solution.


def _serve(names: dict[str, Any], calls: Iterable[str], replies: Any) -> None:
    for line in calls:
        name, args, kwargs = json.loads(line)
        try:
            value = names[name](*decode(args), **decode(kwargs))
            reply = ["value", encode(value)]
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind]
            reply = ["raised", kinds[0], str(error)[:200]]
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


# The side of the tests.


class _Link:
    """Calls to the solution, and how many there were."""

    def __init__(self, replies: Any, calls: Any) -> None:
        self.replies, self.calls, self.count = replies, calls, 0

    def function(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return self.ask(name, args, kwargs)

        call.__name__ = call.__qualname__ = name
        return call

    def ask(self, name: str, args: Any, kwargs: Any) -> Any:
        call = json.dumps([name, encode(args), encode(kwargs)])
        try:
            self.calls.write(call + "\n")
            self.calls.flush()
            line = self.replies.readline(MAX_LINE)
            what, *rest = json.loads(line)
            if what == "value":
                return decode(rest[0])
            kind = getattr(builtins, rest[0])
        except (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError):
            raise _Gone from None
        if what != "raised" or not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise _Gone
        raise kind(str(rest[1:]))


def _test(tests: list[str], entry_point: str, link: _Link) -> str:
    """Runs the tests one after the other: `passed`, `failed`, or `bad tests` if they are none."""
    try:
        trees = [ast.parse(test, "tests.py") for test in tests]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _BAD_TESTS
    names = {entry_point} - {""}
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Name) and not hasattr(builtins, node.id):
                names.add(node.id)
    module = ModuleType("tests")
    sys.modules["tests"] = module
    module.__dict__.update({name: link.function(name) for name in names})
    if entry_point:
        module.__dict__["candidate"] = module.__dict__[entry_point]
    try:
        for tree in trees:
            exec(compile(tree, "tests.py", "exec"), module.__dict__)
    except _NotPlain:
        return _BAD_TESTS
    except Exception:
        return _FAILED
    if not link.count:
        return _BAD_TESTS  # tests that call nothing say nothing
    return "passed"


# What crosses: None, numbers, text, and lists, tuples, sets, dictionaries and iterators of what crosses.

_MANY: dict[str, Callable[[Iterable[Any]], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "iterator": lambda items: iter(list(items)),
}


def encode(value: Any) -> Any:
    """JSON for plain data; a subclass (`Counter`, a named tuple) crosses as what it is derived from."""
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if value is None:
        return None
    if isinstance(value, complex):
        return ["complex", [value.real, value.imag]]
    if isinstance(value, bytes):
        return ["bytes", value.decode("latin-1")]
    if isinstance(value, dict):
        return ["dict", [[encode(key), encode(item)] for key, item in value.items()]]
    for many in (list, tuple, set, frozenset):
        if isinstance(value, many):
            return [many.__name__, [encode(item) for item in value]]
    if hasattr(value, "__next__"):
        return ["iterator", [encode(item) for item in islice(value, MAX_ITEMS)]]
    raise _NotPlain(f"a {type(value).__name__} is no plain data")


def decode(data: Any) -> Any:
    """The value; `TypeError`, `ValueError`, `LookupError` or `RecursionError` for what `encode` never made."""
    if not isinstance(data, list):
        if isinstance(data, dict):
            raise TypeError("a dict is no plain data")
        return data
    kind, body = data
    match kind:
        case "complex":
            return complex(*body)
        case "bytes":
            return body.encode("latin-1")
        case "dict":
            return {decode(key): decode(item) for key, item in body}
    return _MANY[kind](map(decode, body))


if __name__ == "__main__":
    main(int(sys.argv[1]))
