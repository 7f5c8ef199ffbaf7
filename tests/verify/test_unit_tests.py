"""Code: the tests decide, and neither the machine nor the verdict can be reached from inside a solution."""

from __future__ import annotations

import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError
from reasonenv.verify.sandbox.processes import MAX_OUTPUT, REQUIRED, ProcessSandbox
from reasonenv.verify.sandbox.unit_tests import UnitTests, verify_code

PATIENCE = 120.0  # seconds
ADD = ("assert add(1, 2) == 3", "assert add([1], [2]) == [1, 2]")


def judge(code: str, tests: UnitTests | None = None, timeout: float = PATIENCE) -> Reason:
    problem = Problem("p", "", "", meta={"tests": tests or UnitTests(ADD, seconds=2, megabytes=256)})
    verdict = verify_code(f"So:\n```python\n{code}\n```", problem, timeout)
    told = replace(verdict, canonical=None)
    assert told == Verdict(verdict.reason, f"{code}\n", "")
    return verdict.reason


def prints(code: str, expected: str) -> bool:
    """Whether a program prints what is expected."""
    tests = UnitTests(examples=(("", expected),), seconds=2, megabytes=256)
    return judge(code, tests) is Reason.CORRECT


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def add(a, b): return a + b", Reason.CORRECT),
        ("add = lambda a, b: a + b", Reason.CORRECT),
        ("class Add:\n    def __call__(self, a, b): return a + b\nadd = Add()", Reason.CORRECT),
        ("print('noise'); import sys; sys.stderr.write('noise')\ndef add(a, b): return a + b", Reason.CORRECT),
        ("def add(a, b): return 3", Reason.WRONG),
        ("def plus(a, b): return a + b", Reason.WRONG),
        ("def add(a, b): return object()", Reason.WRONG),
        ("raise SystemExit(0)", Reason.WRONG),
        ("1/0", Reason.WRONG),
        ("def add(a, b) return", Reason.UNPARSABLE_ANSWER),
        ("(" * 5000, Reason.UNPARSABLE_ANSWER),
        ("\x00", Reason.UNPARSABLE_ANSWER),
    ],
)
def test_functions_by_asserts(code: str, reason: Reason) -> None:
    assert judge(code) is reason


def test_a_check_function_with_a_candidate_as_humaneval_has_it() -> None:
    check = "def check(candidate):\n    assert candidate(2) == 4\n    assert abs(candidate(0.5) - 0.25) < 1e-6"
    tests = UnitTests((check, "check(square)"), entry_point="square")
    assert judge("def square(x): return x * x", tests) is Reason.CORRECT
    assert judge("def square(x): return 2 * x", tests) is Reason.WRONG


def test_exceptions_and_iterators_cross_and_a_name_of_a_builtin_can_be_the_entry_point() -> None:
    raises = "try:\n    sum(-1)\nexcept ValueError:\n    pass\nelse:\n    assert False"
    tests = UnitTests((raises, "assert list(sum(3)) == [0, 1, 2]"), entry_point="sum")
    code = "class Odd(ValueError): pass\ndef sum(n):\n    if n < 0: raise Odd(n)\n    return iter(range(n))"
    assert judge(code, tests) is Reason.CORRECT
    assert judge(code.replace("ValueError", "KeyError"), tests) is Reason.WRONG


def test_programs_by_examples() -> None:
    tests = UnitTests(examples=(("2 3\n", "5\n"), ("10 -4", "6")))
    assert judge("a, b = map(int, input().split())\nprint(a + b, '')", tests) is Reason.CORRECT
    assert judge("a, b = map(int, input().split())\nprint(a - b)", tests) is Reason.WRONG
    assert judge("if __name__ == '__main__':\n    print(sum(map(int, input().split())))", tests) is Reason.CORRECT
    assert judge("print(5); print(6)", tests) is Reason.WRONG
    assert judge("print(5", tests) is Reason.UNPARSABLE_ANSWER
    assert not prints("print('yes')\nraise SystemExit(1)", "yes")  # a crash is no success


@pytest.mark.parametrize(
    ("tests", "reason"),
    [
        (("assert add(1, 2 ==",), Reason.UNPARSABLE_GOLD),
        (("assert True",), Reason.UNPARSABLE_GOLD),  # calls nothing: anything would pass
        (("assert add(lambda: 1, 2)",), Reason.UNPARSABLE_GOLD),
        (("try:\n    add(lambda: 1, 2)\nexcept Exception: pass",), Reason.UNPARSABLE_GOLD),  # and catch that
        (("def add(a, b): return 3", ADD[0]), Reason.UNPARSABLE_GOLD),  # tests that bring the solution along
    ],
)
def test_tests_that_say_nothing_are_not_passed(tests: tuple[str, ...], reason: Reason) -> None:
    assert judge("def add(a, b): return a + b", UnitTests(tests)) is reason


NODE = "class Node:\n    def __init__(self, value): self.value, self.left = value, None\n"
NODE += "    def double(self): return 2 * self.value\n"
NODE += "def depth(node): return 1 + depth(node.left) if node else 0\ndef leftmost(node): return node.left or node"
TREE = "root = Node(1)\nroot.left = Node(2)\nroot.left.left = Node(value=3)"
PAIR = "class Pair:\n    def __init__(self, a, b): self.a, self.b = a, b\n"
PAIR += "def longest(pairs, n): return max(p.b - p.a for p in pairs[:n])"


@pytest.mark.parametrize(
    ("code", "tests"),
    [
        (NODE, (TREE, "assert depth(root) == 3", "assert root.left.left.value == 3", "assert root.double() == 2")),
        (NODE, (TREE, "assert leftmost(root) is root.left", "assert leftmost(root) == root.left != root")),
        (
            NODE,
            (TREE, "assert depth(None) == 0", "assert root.left.left.left is None", "assert not hasattr(root, 'x')"),
        ),
        (PAIR, ("assert longest([Pair(5, 24), Pair(15, 25)], 2) == 19",)),
        ("def adder(n): return lambda x: x + n", ("assert adder(2)(3) == 5", "assert [*map(adder(1), [1])] == [2]")),
        (PAIR, ("pairs = {'a': [Pair(1, 9)]}\nassert longest(pairs['a'], n=1) == 8",)),
    ],
)
def test_tests_use_objects_of_the_classes_of_a_solution(code: str, tests: tuple[str, ...]) -> None:
    assert judge(code, UnitTests(tests)) is Reason.CORRECT


LIES = "class Any:\n" + "\n".join(
    f"    def __{name}__(self, *_): return {value}"
    for name, value in (
        *(("eq", True), ("ne", False), ("lt", True), ("gt", True), ("le", True), ("ge", True), ("contains", True)),
        *(("hash", 3), ("len", 3), ("bool", False), ("abs", 3), ("sub", 0), ("rsub", 0), ("iter", "iter([3])")),
        *(("int", 3), ("float", 3.0), ("index", 3), ("str", "'3'"), ("instancecheck", True), ("getitem", 3)),
    )
)


@pytest.mark.parametrize(
    "test",
    [
        *("assert add(1, 2) == 3", "assert 3 == add(1, 2)", "assert not add(1, 2) != 3", "assert add(1, 2) <= 3"),
        *("assert abs(add(1, 2) - 3) < 1e-6", "assert add(1, 2) in (3, 4)", "assert 3 in add(1, 2)"),
        *("assert {3: True}[add(1, 2)]", "assert len(add(1, 2)) == 3", "assert list(add(1, 2)) == [3]"),
        *("assert int(add(1, 2)) == 3", "assert not add(1, 2)", "assert str(add(1, 2)) == '3'"),
        *("assert sorted([add(1, 2), 3])[0] == 3", "assert isinstance(add(1, 2), int)"),
    ],
)
def test_no_method_of_an_object_of_a_solution_compares(test: str) -> None:
    assert judge(f"{LIES}\ndef add(a, b): return Any()", UnitTests((test,))) is Reason.WRONG
    assert judge(f"{LIES}\nadd = lambda a, b: [Any(), Any()]", UnitTests((test,))) is Reason.WRONG


@pytest.mark.parametrize(
    ("code", "test"),
    [
        ("from collections import deque\ndef add(a, b): return deque([a, b])", "assert list(add(1, 2)) == [1, 2]"),
        ("def add(a, b): return range(a, b)", "assert add(1, 3) == range(1, 3) and list(add(1, 3)) == [1, 2]"),
        ("def add(a, b): return {a: 1, b: 2}.keys()", "assert sorted(add(2, 1)) == [1, 2] and add(1, 2) == {1, 2}"),
        ("def add(a, b): return {a: 1, b: 2}.values()", "assert list(add(2, 1)) == [1, 2]"),
        ("def add(a, b): return {a: 1}.items()", "assert list(add(2, 1)) == [(2, 1)]"),
        ("def add(a, b): return bytearray([a, b])", "assert add(1, 2) == b'\\x01\\x02'"),
        ("from fractions import Fraction as F\ndef add(a, b): return F(a, b)", "assert add(1, 2) == 0.5"),
        ("from decimal import Decimal as D\ndef add(a, b): return D(a) / b", "assert str(add(1, 2)) == '0.5'"),
        ("from datetime import date\ndef add(a, b): return date(2024, a, b)", "assert add(1, 2).year == 2024"),
        (
            "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef add(a, b): return P(a, b)",
            "assert add(1, 2) == (1, 2) and add(1, 2).y == 2",
        ),
        ("def add(a, b): return b(a)", "assert add(1, str) == '1'"),
        ("def add(a, b): return type(a)", "assert add(1, 2) is int"),
    ],
)
def test_values_of_many_types_can_be_compared(code: str, test: str) -> None:
    assert judge(code, UnitTests((test,))) is Reason.CORRECT


FORGERIES = {
    "exits": "import os; os._exit(0)",
    "exits when asked": "import os\ndef add(a, b): os._exit(0)",
    "says so": "import sys\nfor out in (1, 2, 3, 4, 5):\n    try:\n        import os; os.write(out, b'passed\\n' * 9)\n"
    "    except OSError: pass",
    "equal to all": "class Yes:\n    __eq__ = lambda *_: True\n    __ne__ = lambda *_: False\n"
    "def add(a, b): return Yes()",
    "equal number": "class Yes(int):\n    __eq__ = lambda *_: True\ndef add(a, b): return Yes(0)",
    "patched builtins": "import builtins\nbuiltins.AssertionError = builtins.compile = builtins.exec = None\n"
    "def add(a, b): return 0",
    "own names of builtins": "all = any = abs = len = isinstance = lambda *_: True\ndef add(a, b): return 0",
    "patched main": "import __main__, sys\nfor name in ('_serve', 'encode', '_test'):\n"
    "    setattr(__main__, name, lambda *_: 'passed')\ndef add(a, b): return 0",
    "patched json": "import json\njson.dumps = lambda *_: '[\"passed\"]'\ndef add(a, b): return 0",
    "another exception": 'import json\njson.dumps = lambda *_: \'["raised", ["SystemExit"], ["tuple"]]\'\n'
    "def add(a, b): 1",
    # `exec` beside the tests would say to every descriptor that they have passed, and leave.
    "a builtin for an exception": "import json\n"
    'said = \'import os; [os.write(out, b"passed\\\\n") for out in range(3, 9) if os.path.exists(f"/dev/fd/{out}")]\'\n'
    "reply = json.dumps(['raised', ['exec'], ['tuple', said + '; os._exit(0)']])\n"
    "json.dumps = lambda *_: reply\ndef add(a, b): return 0",
    "traces": "import sys\nsys.settrace(lambda *_: None)\ndef add(a, b): return 0",
    "walks the frames": "import gc\nfor each in gc.get_objects():\n"
    "    if isinstance(each, dict): each.update(passed='passed')\ndef add(a, b): return 0",
    "deep reply": "import json\njson.dumps = lambda *_: '[' * 10**5\ndef add(a, b): return 0",
    "long reply": "def add(a, b): return 'x' * 10**7",
    "exit hooks": "import atexit, os\natexit.register(lambda: os._exit(0))\ndef add(a, b): return 0",
    "closed ends": "import os\nos.closerange(0, 64)",
}


# What a solution raises must not stand for the end of an iteration or for a test that expects a failure.
ENDS = ("StopIteration", "StopAsyncIteration", "AssertionError", "GeneratorExit", "KeyboardInterrupt", "SystemExit")
SWALLOWS = {
    "zip": "for got, want in zip(map(add, [1, 2], [3, 4]), [4, 6]): assert got == want",
    "all": "assert all(map(add, [1, 2], [3, 4]))",
    "list": "assert list(map(add, [], [])) == list(map(add, [1], [2])) or True",
    "sentinel": "for got in iter(lambda: add(1, 2), 3): assert False",
    "expects": "try:\n    add(1, 2)\nexcept AssertionError: pass",
    "bare except": "try:\n    add(1, 2)\nexcept: pass",
    "any exception": "try:\n    add(1, 2)\nexcept Exception: pass",
    "generator": "assert not [x for x in (y for y in map(add, [1], [2])) if x != 3]",
}


@pytest.mark.parametrize("swallow", SWALLOWS.values(), ids=SWALLOWS.keys())
def test_no_exception_that_ends_something_passes_a_test(swallow: str) -> None:
    for kind in ENDS:
        for definition in (f"def add(a, b): raise {kind}", f"class E({kind}): pass\ndef add(a, b): raise E('x')"):
            assert judge(definition, UnitTests((swallow,))) is Reason.WRONG, (kind, swallow)


def test_a_program_that_dies_passes_no_test_that_expects_an_exception() -> None:
    expects = UnitTests(("try:\n    add(1, 2)\nexcept Exception: pass\nelse: assert False",))
    assert judge("def add(a, b): raise KeyError(a)", expects) is Reason.CORRECT
    for code in ("import os\ndef add(a, b): os._exit(0)", "import os\ndef add(a, b): os.closerange(0, 64)"):
        assert judge(code, expects) is Reason.WRONG
    assert judge("import time\ndef add(a, b): time.sleep(99)", expects, timeout=2.0) is Reason.WRONG


def test_exceptions_cross_with_their_arguments() -> None:
    message = "try:\n    add(1, 2)\nexcept {0} as error: assert {1}\nelse: assert False"
    for code, kind, holds in (
        ("raise ValueError('a', 2)", "ValueError", "error.args == ('a', 2)"),
        ("raise KeyError('a')", "LookupError", "str(error) == repr('a')"),
        ("b'\\xff'.decode()", "UnicodeDecodeError", "error.start == 0"),
        ("[][1]", "IndexError", "'range' in str(error)"),
    ):
        assert judge(f"def add(a, b): {code}", UnitTests((message.format(kind, holds),))) is Reason.CORRECT, code


# Wrong values of which a comparison says nothing: 4 is expected.
NANS = ("float('nan')", "complex(4, float('nan'))", "[float('nan')]", "{4: float('nan')}", "Decimal('nan')")
LAX = ("assert not abs({0} - 4) > 1e-6", "assert not {0} < 4 and not {0} > 4", "assert {0} != 5", "assert {0}")


@pytest.mark.parametrize("value", NANS)
def test_a_nan_passes_nothing_unless_the_tests_speak_of_it(value: str) -> None:
    code = f"from decimal import Decimal\ndef add(a, b): return {value}"
    for test in LAX:
        assert judge(code, UnitTests((test.format("add(2, 2)"),))) is Reason.WRONG
    for expected in ("float('nan')", "math.nan", "float('-NaN')"):
        assert judge(code, UnitTests((f"import math\nexpected = {expected}\nassert add(2, 2) != expected",))).value == (
            "correct"
        )


@pytest.mark.parametrize(
    "reply", ['["complex", "nan"]', '["complex", Infinity, ["complex", 0, Infinity]]', '["decimal", "nan"]']
)
def test_a_nan_that_a_solution_spells_in_its_reply_passes_nothing(reply: str) -> None:
    code = f"import json\njson.dumps = lambda *_: '[\"value\", {reply}]'\ndef add(a, b): return 0"
    assert judge(code, UnitTests(("assert not abs(add(2, 2) - 4) > 1e-6",))) is Reason.WRONG


@pytest.mark.parametrize("code", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_verdict_cannot_be_forged(code: str) -> None:
    assert judge(code) is Reason.WRONG


KERNEL = pytest.mark.skipif(
    not set(REQUIRED) <= set(ProcessSandbox().restrictions()), reason="no such restrictions on this platform"
)
# Programs in Python that do one thing and end well if it was refused.
REFUSED = "try:\n    {0}\nexcept (PermissionError, MemoryError, RuntimeError): print('refused')\nelse: print('done')"
# The same by the C library, past every hook of Python: nothing but the kernel stands in the way.
RAW = (
    "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\ndone = {0}\nprint('done' if done >= 0 else 'refused')"
)


def home_file(tmp_path: Path) -> str:
    path = tmp_path / "secret.txt"
    path.write_text("secret")
    return str(path)


@pytest.mark.parametrize("wrapper", [REFUSED, pytest.param(RAW, marks=KERNEL)], ids=["python", "kernel"])
def test_files_processes_signals_and_sockets_are_out_of_reach(wrapper: str, tmp_path: Path) -> None:
    secret, parent = home_file(tmp_path), os.getpid()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        python = (
            f"open({secret!r}).read()",
            f"open({secret!r}, 'w')",
            f"open({str(tmp_path / 'new')!r}, 'x')",
            "open('here', 'w').write('x')",
            f"import os; os.listdir({os.path.expanduser('~')!r})",
            "open('/proc/%d/environ' % __import__('os').getppid()).read()",
            f"import os; os.remove({secret!r})",
            f"import os; os.chmod({secret!r}, 0o777)",
            f"import os; os.utime({secret!r}, (0, 0))",
            "import os; os.fork()",
            "import os; os.system('true')",
            "import subprocess; subprocess.run(['true'])",
            "import multiprocessing; multiprocessing.get_context('fork').Process(target=print).start()",
            f"import os, signal; os.kill({parent}, signal.SIGTERM)",
            "import os, signal; os.killpg(0, signal.SIGTERM)",
            f"import socket; socket.create_connection(('127.0.0.1', {port}))",
            "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
            "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
        )
        raw = (
            f"libc.open({secret.encode()!r}, 0)",
            f"libc.open({secret.encode()!r}, 2)",
            f"libc.creat({str(tmp_path / 'new').encode()!r}, 511)",
            "libc.write(libc.creat(b'here', 511), b'x', 1)",
            "libc.open(b'/proc/%d/environ' % os.getppid(), 0)",
            f"libc.unlink({secret.encode()!r})",
            f"libc.rename({secret.encode()!r}, b'mine')",
            f"libc.chmod({secret.encode()!r}, 511)",
            "libc.mkdir(b'sub', 511)",
            *("libc.fork()", "libc.syscall(57)", "libc.syscall(56, 17, 0, 0, 0, 0)", "libc.syscall(435, 0, 0)"),
            "libc.execv(b'/bin/true', (ctypes.c_char_p * 2)(b'true', None))",
            f"libc.kill({parent}, 15)",
            "libc.kill(-1, 9)",
            f"libc.syscall(234, {parent}, {parent}, 15)",
            f"libc.ptrace(16, {parent}, 0, 0)",
            *("libc.socket(2, 1, 0)", "libc.socket(1, 1, 0)", "libc.socket(10, 2, 0)"),
            *("libc.memfd_create(b'x', 0)", "libc.shmget(0, 1 << 20, 0o1600)"),
            "libc.setrlimit(9, (ctypes.c_long * 2)(-1, -1))",
            f"libc.prlimit({parent}, 0, (ctypes.c_long * 2)(1, 1), None)",
            f"libc.setpriority(0, {parent}, 19)",
            "libc.unshare(0x10000000)",
        )
        tried = python if wrapper is REFUSED else raw
        got_in = [line for line in tried if not prints(wrapper.format(line), "refused")]
    assert got_in == []
    assert sorted(os.listdir(tmp_path)) == ["secret.txt"]
    assert Path(secret).read_text() == "secret"


BOMBS = {
    "10 GB": "x = bytearray(10**10)",
    "10 GB in small pieces": "x = [bytearray(10**6) for _ in range(10**4)]",
    "10 GB of mapped memory": "import mmap\nx = mmap.mmap(-1, 10**10)\nx[:] = b'1' * len(x)",
    "10 GB of int": "x = 1 << 10**11",
    "endless loop": "while True: pass",
    "endless loop that catches all": "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    "endless loop in C": "sum(iter(int, 1))",
    "ignored signals": "import signal\nfor s in range(1, 32):\n    try: signal.signal(s, signal.SIG_IGN)\n"
    "    except OSError: pass\nwhile True: pass",
    "power tower": "9**9**9**9",
    "regex": "import re; re.match('(a+)+$', 'a' * 60 + 'b')",
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "thread bomb": "import threading, time\nwhile True:\n"
    "    threading.Thread(target=time.sleep, args=(100,), daemon=True).start()",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
    "crash": "import ctypes; ctypes.string_at(0)",
    "no descriptors": "import os\nwhile True: os.dup(0)",
}


@pytest.mark.parametrize("code", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_cost_their_own_verdict(code: str) -> None:
    assert judge(code, UnitTests(ADD, seconds=1, megabytes=128)) is Reason.WRONG


def test_endless_output_is_cut_off() -> None:
    assert not prints("while True: print('x' * 1000)", "x")
    assert prints(f"print('x' * {MAX_OUTPUT - 1})", "x" * (MAX_OUTPUT - 1))


SLEEPS = {
    "when it is loaded": "import time\ntime.sleep(99)",
    "when it is called": "import time\ndef add(a, b): time.sleep(99)",
    "with a thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(99,)).start()\ntime.sleep(99)",
    "waiting for a lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
    "waiting for input": "import sys\ndef add(a, b): return select.select([], [], [])\nimport select",
}


@pytest.mark.parametrize("code", SLEEPS.values(), ids=SLEEPS.keys())
def test_a_program_that_does_not_answer_in_time_is_wrong(code: str) -> None:
    assert judge(code, timeout=2.0) is Reason.WRONG


def test_no_process_is_left_of_a_program_that_sleeps() -> None:
    code = SLEEPS["with a thread"]
    assert judge(code, timeout=2.0) is judge(code, UnitTests(examples=(("", ""),)), timeout=3.0) is Reason.WRONG
    if sys.platform == "linux":
        lines = (Path(entry) / "cmdline" for entry in Path("/proc").iterdir() if entry.name.isdecimal())
        left = [path.parent.name for path in lines if b"child.py" in _bytes(path) and _parent(path) == os.getpid()]
        assert left == []


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended meanwhile
        return b""


def _parent(path: Path) -> int:
    fields = _bytes(path.with_name("stat")).rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def test_a_solution_has_nothing_of_ours() -> None:
    descriptors = "import os\nfor fd in range(3, 64):\n    try: print(fd, os.fstat(fd))\n    except OSError: pass"
    assert prints(descriptors, "")
    assert prints("import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))", "['PYTHONHASHSEED', 'PYTHONUTF8']")
    assert prints("import os; print(os.listdir('.'))", "[]")
    assert prints("try:\n    import torch\nexcept ImportError: print('no')", "no")


def test_ordinary_programs_run() -> None:
    imports = "import asyncio, bisect, collections, datetime, decimal, fractions, functools, hashlib, heapq, itertools"
    assert prints(f"{imports}, json, math, random, re, string, typing; print(random.Random(1).randint(1, 1))", "1")
    assert prints("import asyncio\nasync def f(): print(1)\nasyncio.run(f())", "1")
    # deep recursion in a thread with a large stack, as programs for contests do it
    deep = "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(2**26)\n"
    deep += "def f(n): return n and f(n - 1)\nt = threading.Thread(target=lambda: print(f(10**4)))\nt.start(); t.join()"
    assert prints(deep, "0")
    assert (
        len({judge("print(list({'a', 'b', 'c', 'd'}))", UnitTests(examples=(("", "['a']"),))) for _ in range(3)}) == 1
    )


def test_no_program_is_no_answer_and_too_long_a_one_is_not_read() -> None:
    problem = Problem("p", "", "", meta={"tests": UnitTests(ADD)})
    assert verify_code("I give up.", problem).reason is Reason.NO_ANSWER
    assert verify_code(f"```\n{'x = 1;' * 100_000}\n```", problem).reason is Reason.UNPARSABLE_ANSWER


def test_mistakes_of_a_task_are_user_errors() -> None:
    with pytest.raises(UserError, match="either asserts or examples"):
        UnitTests()
    with pytest.raises(UserError, match="seconds=0"):
        UnitTests(ADD, seconds=0)
    with pytest.raises(UserError, match=r"'p': meta\['tests'\] must be"):
        verify_code("", Problem("p", "", ""))
    with pytest.raises(UserError, match="timeout=0"):
        verify_code("", Problem("p", "", "", meta={"tests": UnitTests(ADD)}), timeout=0)


def test_threads_may_call_at_once() -> None:
    jobs = [f"def add(a, b): return a + b{'' if n % 2 == 0 else '[0]'}" for n in range(16)]
    with ThreadPoolExecutor(16) as executor:
        reasons = list(executor.map(judge, jobs))
    assert reasons == [Reason.CORRECT, Reason.WRONG] * 8
