"""The program of a child process: restricts itself, then runs a solution, or the tests that call one.

The tests never share a process with the solution. What crosses between the two is plain data (`plain_data`), so a
solution can answer calls and nothing else: it cannot print, raise, patch or exit its way to a pass. Roles, by the job:

    program    runs the solution as a script on its standard input and output
    functions  runs the solution, then answers calls: a line [verb, target, args, kwargs] in, ["value", value] or
               ["raised", kinds, args] out
    tests      runs the tests; every name that they use and nobody else has is a function of the solution

An object of a class of the solution stays with it: the tests have a `_Remote` of it, by which they read and set its
attributes and call its methods. It is equal to itself alone, so nothing that a solution defines compares two values.

The parent reads standard error, in lines: `ready` once all required restrictions are in force, or `missing` and those
that are not, which is the end; then what `main` says.
"""

from __future__ import annotations

import builtins
import json
import os
import sys
from collections.abc import Callable, Iterable
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain
from types import ModuleType

TYPE_CHECKING = False  # as type checkers know it: `typing` would take 2 ms of the 25 that a child needs to start
if TYPE_CHECKING:
    from typing import Any, NoReturn, TextIO

MAX_LINE = 1 << 22  # characters of one call or one reply

_FAILED, _BAD_TESTS = "failed", "bad tests"
# By these a caller is told that something has ended or that a test has failed, so `zip`, `map`, `all` or a test that
# expects them would take what the solution raises for that. No test is passed after one.
_NEVER = ("AssertionError", "StopAsyncIteration", "StopIteration")


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
    plain_data, restrictions, system_calls = map(_sibling, ("plain_data", "restrictions", "system_calls"))
    in_force = restrictions.enforce(job["seconds"], job["megabytes"], job["landlock"], system_calls)
    sys.set_int_max_str_digits(0)
    missing = [name for name in job["required"] if name not in in_force]
    if missing:
        print("missing", *missing, file=report)
        return
    print("ready", *in_force, file=report)
    if job["role"] == "tests":
        print(_test(job["tests"], job["entry_point"], plain_data, *_text(calls, replies)), file=report)
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
        _serve(module.__dict__, plain_data, *_text(calls, replies))


def _text(reading: int, writing: int) -> tuple[TextIO, TextIO]:
    return os.fdopen(reading, encoding="utf-8"), os.fdopen(writing, "w", encoding="utf-8")


def _sibling(name: str) -> Any:
    """A file beside this one, without a package around it."""
    spec = spec_from_file_location(name, os.path.join(os.path.dirname(__file__), f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The side of the solution.


class _Objects:
    """Values of the solution that cannot cross, and the numbers by which the tests know them."""

    def __init__(self) -> None:
        self.objects: list[Any] = []
        self.numbers: dict[int, int] = {}  # by `id`: `objects` keeps them alive

    def number_of(self, value: Any) -> int:
        if id(value) not in self.numbers:
            self.numbers[id(value)] = len(self.objects)
            self.objects.append(value)
        return self.numbers[id(value)]


def _serve(names: dict[str, Any], plain_data: Any, calls: Iterable[str], replies: Any) -> None:
    known = _Objects()
    data = plain_data.PlainData(known.number_of, known.objects.__getitem__)
    targets: dict[str, Callable[[Any], Any]] = {
        "name": names.__getitem__,
        "object": known.objects.__getitem__,
        "attribute": {"get": getattr, "set": setattr}.__getitem__,
    }
    for line in calls:
        verb, target, args, kwargs = json.loads(line)
        try:
            value = targets[verb](target)(*data.decode(args), **data.decode(kwargs))
            reply = ["value", data.encode(value)]
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__ if getattr(builtins, kind.__name__, None) is kind]
            reply = ["raised", kinds, data.encode(error.args)]
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


# The side of the tests.


class _Broken(Exception):
    """The solution is no longer there, or what it says is no reply, or one that no test may be passed by."""


class _Remote:
    """An object of the solution, known here by its number."""

    __slots__ = ("_ask", "_number")

    def __init__(self, ask: Callable[..., Any], number: int) -> None:
        object.__setattr__(self, "_ask", ask)
        object.__setattr__(self, "_number", number)

    def __getattr__(self, name: str) -> Any:
        return self._ask("attribute", "get", (self, name), {})

    def __setattr__(self, name: str, value: Any) -> None:
        self._ask("attribute", "set", (self, name, value), {})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._ask("object", self._number, args, kwargs)


class _Link:
    """Calls to the solution, how many there were, and the verdict of the tests once nothing can change it."""

    def __init__(self, plain_data: Any, replies: Any, calls: Any, nan_expected: bool) -> None:
        self.data = plain_data.PlainData(self.number_of, self.object_of, self.read_nan)
        self.not_plain = plain_data.NotPlain
        self.replies, self.calls, self.nan_expected = replies, calls, nan_expected
        self.remotes: dict[int, _Remote] = {}
        self.count = 0
        self.verdict: str | None = None

    def number_of(self, value: Any) -> int:
        if not isinstance(value, _Remote):
            raise self.not_plain(f"a {type(value).__name__} is no plain data")
        number: int = value._number
        return number

    def object_of(self, number: int) -> Any:
        return self.remotes.setdefault(number, _Remote(self.ask, number))

    def read_nan(self) -> None:
        if not self.nan_expected:
            raise _Broken

    def function(self, name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            return self.ask("name", name, args, kwargs)

        call.__name__ = call.__qualname__ = name
        return call

    def ask(self, verb: str, target: str | int, args: Any, kwargs: Any) -> Any:
        try:
            call = json.dumps([verb, target, self.data.encode(args), self.data.encode(kwargs)])
        except self.not_plain:
            self.end(_BAD_TESTS)
        try:
            self.calls.write(call + "\n")
            self.calls.flush()
            what, *rest = json.loads(self.replies.readline(MAX_LINE))
            if what == "value":
                return self.data.decode(*rest)
            kinds, args = rest
            raised = _exception(kinds, self.data.decode(args))
        except Exception:
            self.end(_FAILED)
        raise raised

    def end(self, verdict: str) -> NoReturn:
        """Settles the verdict, whatever the tests do from here on: they may catch what is raised."""
        self.verdict = self.verdict or verdict
        raise _Broken


def _exception(kinds: list[str], args: Any) -> Exception:
    """The builtin exception that one of the solution is derived from. Raises an error if it is none to pass on."""
    kind = getattr(builtins, kinds[0])
    if not (isinstance(kind, type) and issubclass(kind, Exception)) or set(kinds) & set(_NEVER):
        raise _Broken  # before anything is called: a solution may write the name of any builtin, such as exec
    return kind(*args)


def _test(tests: list[str], entry_point: str, plain_data: Any, replies: Any, calls: Any) -> str:
    """Runs the tests one after the other: `passed`, `failed`, or `bad tests` if they are none."""
    import ast  # which a solution's process does not need

    try:
        trees = [ast.parse(test, "tests.py") for test in tests]
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return _BAD_TESTS
    nodes = list(chain.from_iterable(map(ast.walk, trees)))
    link = _Link(plain_data, replies, calls, any(map(_says_nan, nodes)))
    names = {entry_point} - {""}
    for node in nodes:
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
    except Exception:
        return link.verdict or _FAILED
    if not link.count:
        return _BAD_TESTS  # tests that call nothing say nothing
    return link.verdict or "passed"


def _says_nan(node: Any) -> bool:
    """Whether a part of the tests speaks of NaN, as `math.nan`, `isnan` and `float("nan")` do."""
    words = (getattr(node, field, None) for field in ("id", "attr", "value", "name"))
    return any(isinstance(word, str) and word.strip("+-").lower() in ("nan", "isnan") for word in words)


if __name__ == "__main__":
    main(int(sys.argv[1]))
