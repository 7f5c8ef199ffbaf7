"""Programs by their tests: the program of a response, run where it can do no harm, as far as can be.

    problem = Problem("1", "Write add(a, b).", gold, meta={"tests": UnitTests(asserts=("assert add(1, 2) == 3",))})
    verify_code("```python\ndef add(a, b): return a + b\n```", problem).correct

`code_block` says which part of a response is its program, `backend` where it runs, `plain_data` which values cross
between a solution and its tests: numbers, text, collections, fractions, decimals and dates. An object of a class of
the solution stays with it; tests can make one, read and set its attributes, call its methods and pass it on, and it is
equal to itself alone. So `asserts` cannot test what a solution's own `==` says, nor functions that it returns, nor
changes that it makes to its arguments. Only the standard library is there, and nothing can be written to files.

What no test can be passed by: `StopIteration`, `StopAsyncIteration` or `AssertionError`, whatever the tests expect;
what ends a program (`SystemExit`, `KeyboardInterrupt`, `GeneratorExit`); and a NaN, unless the tests speak of NaN,
since `not abs(nan - 4) > 1e-6` holds. What a solution does to escape a verdict is wrong, too: sleeping, taking all
memory, crashing. `timeout` and `error` are failures of ours (`backend.Reply`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from time import perf_counter

from reasonenv.codec import storable
from reasonenv.core import Problem, Reason, Verdict
from reasonenv.errors import UserError
from reasonenv.verify.canonical import verdict
from reasonenv.verify.sandbox.backend import Backend, Job, make_sandbox
from reasonenv.verify.sandbox.code_block import MAX_CODE, find_code, names_asked
from reasonenv.verify.sandbox.processes import ProcessSandbox

SECONDS = 4  # of CPU, for each process; who uses them up is wrong, as before any judge of programs
MEGABYTES = 1024  # of address space, for each process
TIMEOUT = 10.0  # seconds on the wall for all tests of a solution


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


def verify_code(text: str, problem: Problem, timeout: float = TIMEOUT, sandbox: Backend | None = None) -> Verdict:
    """The verdict of the tests in `problem.meta["tests"]` (`UnitTests`) on the program of `text`.

    `wrong`: a test failed, or the program crashed, printed too much, used up its CPU seconds or memory, or did not
    answer within `timeout` seconds on the wall. `no_answer`: no program. `unparsable_answer`: no Python.
    `unparsable_gold`: the tests are no Python, call nothing of the solution, or pass it what cannot cross. `timeout`:
    the machine had no processor for the program. `error`: it could not be run, or not be restricted. `gold` is the
    problem's answer; only tests decide. `sandbox` is where it runs, restricted processes of this machine by default.
    Any thread may call. Raises `UserError` if the problem has no `UnitTests`, for a `timeout` that is not positive, and
    where no `sandbox` is given and this machine cannot restrict a process; `code_verifier(unfenced=True)` makes a
    verifier that does not ask for that.
    """
    start, tests = perf_counter(), problem.meta.get("tests")
    if not isinstance(tests, UnitTests):
        raise UserError(
            f"problem {problem.id!r}: meta['tests'] must be verify.sandbox.unit_tests.UnitTests, not {tests!r}"
        )
    if not timeout > 0:
        raise UserError(f"timeout={timeout} must be above 0 seconds")
    sandbox = sandbox or _default()
    code = find_code(text, names_asked(tests.asserts, tests.entry_point) if tests.asserts else ())
    if code is None:
        reason = Reason.NO_ANSWER
    elif len(code) > MAX_CODE:
        reason = Reason.UNPARSABLE_ANSWER
    else:
        job = Job(code, "", tests.asserts, tests.entry_point, tests.seconds, tests.megabytes, timeout)
        reason = sandbox.run(job).reason if tests.asserts else _by_examples(sandbox, job, tests.examples)
    return verdict(reason, code, problem.answer, "lines", since=start)


def code_verifier(sandbox: str = "process", *, unfenced: bool = False) -> Callable[[str, Problem], Verdict]:
    """The verifier of a task whose programs run in the sandbox of a name, as `backend.make_sandbox` makes it."""
    return partial(verify_code, sandbox=make_sandbox(sandbox, unfenced=unfenced))


@cache
def _default() -> Backend:
    sandbox = ProcessSandbox()
    sandbox.check()
    return sandbox


def _by_examples(sandbox: Backend, job: Job, examples: tuple[tuple[str, str], ...]) -> Reason:
    """All examples share the seconds on the wall."""
    left = job.timeout
    for text, expected in examples:
        if left <= 0:
            return Reason.WRONG
        reply = sandbox.run(replace(job, stdin=text, timeout=left))
        if reply.reason is not Reason.CORRECT:
            return reply.reason
        if _lines(reply.output) != _lines(expected.encode("utf-8", "surrogatepass")):
            return Reason.WRONG
        left -= reply.seconds
    return Reason.CORRECT


def _lines(output: bytes) -> list[bytes]:
    return [line.rstrip() for line in output.rstrip().splitlines()]
