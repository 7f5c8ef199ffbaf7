"""Programs by their tests: the last code block of a response, run where it can do no harm, as far as can be.

A solution runs in a process of its own, in an empty folder, without our environment and open files, under the
restrictions of `restrictions.py` (which says what holds where; `restrictions()` tells what holds here). The parent owns
the clock and kills the whole process group. Tests run in a second process, or here (`UnitTests.examples`), and only
plain data crosses between them (`child.py`): an expected value is never where the solution could read it, and no
verdict is ever taken from its word.

    problem = Problem("1", "Write add(a, b).", gold, meta={"tests": UnitTests(asserts=("assert add(1, 2) == 3",))})
    verify_code("```python\ndef add(a, b): return a + b\n```", problem).correct

What does not cross, and so cannot be tested by `asserts`: functions, objects of own classes, and changes that a
function makes to its arguments. Only the standard library is there, and nothing can be written to files.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from time import monotonic, perf_counter
from typing import IO, Any

from reasonenv.codec import storable
from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError
from reasonenv.verify.canonical import verdict
from reasonenv.verify.fair_semaphore import FairSemaphore

SECONDS = 4  # of CPU, for each process; who uses them up is wrong, as before any judge of programs
MEGABYTES = 1024  # of address space, for each process
TIMEOUT = 10.0  # seconds on the wall for all tests of a solution: above it nobody knows why, and it is a timeout
MAX_CODE = 100_000  # characters
MAX_OUTPUT = 1 << 20  # bytes that a program may print

_BLOCK = re.compile(r"```[ \t]*(?:python3?|py)?[ \t]*\n(.*?)```", re.DOTALL | re.IGNORECASE)
_PROGRAM = Path(__file__).with_name("child.py")
_permits = FairSemaphore(os.cpu_count() or 1)  # solutions at once; each may have two processes


@storable
@dataclass(frozen=True)
class UnitTests:
    """What a solution must pass: `asserts` that call it, or `examples`; never both.

    `asserts`: Python sources, run in order in one namespace, where every name that they use and do not define is a
    function of the solution. With an `entry_point`, `candidate` is that function too. `examples`: pairs of standard
    input and expected output, compared line by line without trailing blanks. Raises `UserError` if there are no tests
    or both kinds.
    """

    asserts: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    entry_point: str = ""
    seconds: int = SECONDS
    megabytes: int = MEGABYTES

    def __post_init__(self) -> None:
        if bool(self.asserts) == bool(self.examples):
            raise UserError("tests: give either asserts or examples, and at least one")
        if self.seconds < 1 or self.megabytes < 64:
            raise UserError(f"tests: seconds={self.seconds} must be at least 1, megabytes={self.megabytes} at least 64")


def find_code(text: str) -> str | None:
    """The last closed code block (``` or ```python) of a response; None without one. Prose is never taken for code."""
    blocks: list[str] = _BLOCK.findall(text)
    if not blocks or not blocks[-1].strip():
        return None
    return blocks[-1]


def verify_code(text: str, problem: Problem, timeout: float = TIMEOUT) -> Verdict:
    """The verdict of the tests in `problem.meta["tests"]` (`UnitTests`) on the last code block of `text`.

    `wrong`: a test failed, or the solution crashed, printed too much, or used up its CPU seconds or memory.
    `no_answer`: no code block. `unparsable_answer`: no Python. `unparsable_gold`: the tests are no Python, call nothing
    of the solution, or pass it what cannot cross. `timeout`: the clock on the wall ran out (it slept, or the
    machine is busy). `error`: no process could be started. `gold` is the problem's answer; only tests decide.
    Any thread may call. Raises `UserError` if the problem has no `UnitTests`, or for a `timeout` that is not positive.
    """
    start, tests = perf_counter(), problem.meta.get("tests")
    if not isinstance(tests, UnitTests):
        raise UserError(
            f"problem {problem.id!r}: meta['tests'] must be verify.sandbox.unit_tests.UnitTests, not {tests!r}"
        )
    if not timeout > 0:
        raise UserError(f"timeout={timeout} must be above 0 seconds")
    code = find_code(text)
    if code is None:
        reason = Reason.NO_ANSWER
    elif len(code) > MAX_CODE:
        reason = Reason.UNPARSABLE_ANSWER
    else:
        _warn()
        reason = _judge(code, tests, timeout)
    return verdict(reason, code, problem.answer, "lines", since=start)


@cache
def restrictions() -> tuple[str, ...]:
    """The restrictions in force here: limits by name, `landlock`, `seccomp`, `audit`; empty if nothing runs."""
    with _sandbox() as sandbox:
        child = sandbox.start({"role": "program", "code": "", "seconds": SECONDS, "megabytes": MEGABYTES})
        report = child.report(monotonic() + TIMEOUT)
    return tuple(report[0].split()[1:]) if report else ()


@cache
def _warn() -> None:
    missing = {"as", "cpu", "fsize", "landlock", "seccomp"}.difference(restrictions())
    if missing:
        warnings.warn(
            f"code of a model runs without these restrictions here: {', '.join(sorted(missing))}", stacklevel=3
        )


def _judge(code: str, tests: UnitTests, timeout: float) -> Reason:
    limits = {"seconds": tests.seconds, "megabytes": tests.megabytes}
    with _permits:
        deadline = monotonic() + timeout
        try:
            with _sandbox() as sandbox:
                if tests.asserts:
                    return _by_asserts(sandbox, code, tests, limits, deadline)
                return _by_examples(sandbox, code, tests, limits, deadline)
        except OSError as error:
            print(f"verify: no process for a solution: {error}", file=sys.stderr)
            return Reason.ERROR


def _by_asserts(sandbox: _Sandbox, code: str, tests: UnitTests, limits: dict[str, int], deadline: float) -> Reason:
    (calls_out, calls_in), (replies_out, replies_in) = os.pipe(), os.pipe()
    try:
        job: dict[str, Any] = {"role": "functions", "code": code, **limits}
        solution = sandbox.start(job, stdin=calls_out, stdout=replies_in)
        job = {"role": "tests", "tests": tests.asserts, "entry_point": tests.entry_point, **limits}
        tester = sandbox.start(job, stdin=replies_out, stdout=calls_in)
    finally:
        for end in (calls_out, calls_in, replies_out, replies_in):
            os.close(end)
    if tester.report(deadline) is None:
        return Reason.TIMEOUT
    sandbox.kill()
    of_solution, of_tests = solution.report(), tester.report()
    if of_tests and "bad tests" in of_tests:
        return Reason.UNPARSABLE_GOLD  # known before the solution has begun, so it may have said nothing yet
    if not of_solution or not of_tests:
        return Reason.ERROR
    if "syntax" in of_solution:
        return Reason.UNPARSABLE_ANSWER
    return Reason.of("passed" in of_tests)


def _by_examples(sandbox: _Sandbox, code: str, tests: UnitTests, limits: dict[str, int], deadline: float) -> Reason:
    for text, expected in tests.examples:
        child = sandbox.start({"role": "program", "code": code, **limits}, text=text)
        output = child.output(deadline)
        if output is None:
            return Reason.TIMEOUT
        sandbox.kill()
        report = child.report()
        if not report:
            return Reason.ERROR
        if "syntax" in report:
            return Reason.UNPARSABLE_ANSWER
        if child.process.returncode != 0 or _lines(output) != _lines(expected.encode()):
            return Reason.WRONG
    return Reason.CORRECT


def _forget() -> None:
    """A forked child has its own run: the threads that wait at the copied semaphore exist in its parent only."""
    global _permits
    _permits = FairSemaphore(os.cpu_count() or 1)


os.register_at_fork(after_in_child=_forget)


def _lines(output: bytes) -> list[bytes]:
    return [line.rstrip() for line in output.rstrip().splitlines()]


@contextlib.contextmanager
def _sandbox() -> Iterator[_Sandbox]:
    with tempfile.TemporaryDirectory(prefix="reasonenv-") as folder:
        sandbox = _Sandbox(folder)
        try:
            yield sandbox
        finally:
            sandbox.close()


class _Sandbox:
    """An empty folder and the processes in it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.children: list[_Child] = []

    def start(
        self, job: dict[str, Any], *, text: str = "", stdin: int | None = None, stdout: int | None = None
    ) -> _Child:
        """A child in its own session. `stdin` and `stdout` lead to another child, else are `text` and a pipe to us."""
        with _file(json.dumps(job)) as job_file, _file(text) as text_file:
            process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-S", "-B", str(_PROGRAM), str(job_file.fileno())],
                stdin=text_file if stdin is None else stdin,
                stdout=subprocess.PIPE if stdout is None else stdout,
                stderr=subprocess.PIPE,
                pass_fds=(job_file.fileno(),),
                env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},  # the order of a set of words is the same in every run
                cwd=self.folder,
                start_new_session=True,
                bufsize=0,
            )
        self.children.append(_Child(process))
        return self.children[-1]

    def kill(self) -> None:
        """Ends every child and all that it may have started in its group."""
        for child in self.children:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()

    def close(self) -> None:
        self.kill()
        for child in self.children:
            for pipe in (child.process.stdout, child.process.stderr):
                if pipe is not None:
                    pipe.close()


class _Child:
    """A process, and its output."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._report = b""

    def report(self, deadline: float | None = None) -> list[str] | None:
        """The lines of its report, once it is whole; None if the deadline came first."""
        assert self.process.stderr is not None
        rest = _read(self.process.stderr, MAX_OUTPUT, deadline)
        if rest is None:
            return None
        self._report += rest
        return self._report.decode(errors="replace").splitlines()

    def output(self, deadline: float) -> bytes | None:
        """What it printed until it ended, or a little more than `MAX_OUTPUT` of it; None if the deadline came first."""
        assert self.process.stdout is not None
        printed = _read(self.process.stdout, MAX_OUTPUT, deadline)
        if printed is None or len(printed) > MAX_OUTPUT:
            return printed
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - monotonic()))
            return printed
        return None


def _read(pipe: IO[bytes], limit: int, deadline: float | None) -> bytes | None:
    """All to the end of a pipe, or the first bytes that go beyond `limit`; None if the deadline came first."""
    content = bytearray()
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while len(content) <= limit:
            wait = None
            if deadline is not None:
                wait = max(0.0, deadline - monotonic())
            if not selector.select(wait):
                return None
            piece = os.read(pipe.fileno(), 1 << 16)
            if not piece:
                break
            content += piece
    return bytes(content)


@contextlib.contextmanager
def _file(text: str) -> Iterator[IO[bytes]]:
    """An open file without a name that holds `text`."""
    with tempfile.TemporaryFile() as file:
        file.write(text.encode("utf-8", "surrogatepass"))
        file.seek(0)
        yield file
