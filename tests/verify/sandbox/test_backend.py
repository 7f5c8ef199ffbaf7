"""Where a program runs can be chosen, and a sandbox that cannot keep it in refuses to run it."""

from __future__ import annotations

import contextlib
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from reasonenv.catalog import make_task
from reasonenv.core import Problem, Reason
from reasonenv.errors import UserError
from reasonenv.tasks import reference_solution
from reasonenv.verify.grade import grade
from reasonenv.verify.pool import Pool
from reasonenv.verify.sandbox import processes
from reasonenv.verify.sandbox.backend import SANDBOXES, Job, Reply, make_sandbox
from reasonenv.verify.sandbox.processes import REQUIRED, ProcessSandbox
from reasonenv.verify.sandbox.unit_tests import UnitTests, verify_code

ROOT = Path(__file__).resolve().parents[3]
RESTRICTS = set(REQUIRED) <= set(ProcessSandbox(unfenced=True).restrictions())
KERNEL = pytest.mark.skipif(not RESTRICTS, reason="no such restrictions on this platform")
ADD = "```python\ndef add(a, b): return a + b\n```"
PROBLEM = Problem("p", "", "", meta={"tests": UnitTests(("assert add(1, 2) == 3",))})


class Counting:
    """Another sandbox: the package's, and how many programs it has run."""

    jobs: list[Job] = []  # noqa: RUF012  # of all instances, as a task makes its own

    def __init__(self, *, unfenced: bool) -> None:
        self.inner = ProcessSandbox(unfenced=unfenced)

    def check(self) -> None:
        self.inner.check()

    def run(self, job: Job) -> Reply:
        self.jobs.append(job)
        return self.inner.run(job)


@KERNEL
def test_a_task_runs_its_programs_in_the_sandbox_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counting, "jobs", [])
    SANDBOXES.register("counting", Counting)
    task = make_task("Code", size=2, sandbox="counting")
    for problem in task.problems:
        assert task.judge(reference_solution(problem), problem).correct
        assert task.judge("```python\ndef solve(xs): return 'no'\n```", problem).reason is Reason.WRONG
    assert [job.entry_point for job in Counting.jobs] == ["solve"] * 4
    scripts = Problem("p", "", "", meta={"tests": UnitTests(examples=(("1\n", "2"), ("4\n", "5")))})
    reply = verify_code("```python\nprint(int(input()) + 1)\n```", scripts, sandbox=make_sandbox("counting"))
    assert reply.correct
    assert [job.stdin for job in Counting.jobs[4:]] == ["1\n", "4\n"]


def test_a_sandbox_that_is_none_is_a_user_error() -> None:
    with pytest.raises(UserError, match="unknown sandbox 'proces'; did you mean process"):
        make_task("Code", size=2, sandbox="proces")
    SANDBOXES.register("none", "reasonenv.verify.sandbox.backend:Job")
    with pytest.raises(UserError, match=r"sandbox 'none' is .*; it must be a class"):
        make_sandbox("none")


@KERNEL
def test_a_kernel_that_cannot_restrict_runs_nothing_unless_it_is_said(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    steals = Job(f"print(open({str(secret)!r}).read())", timeout=60.0)
    old = ProcessSandbox(landlock=0)  # as before Linux 5.13
    with pytest.raises(
        UserError, match=r"not be kept from reading files .*; use another sandbox= or say unfenced=true"
    ):
        old.check()
    assert old.run(steals) == Reply(Reason.ERROR)
    harmless = Job("def add(a, b): return a + b", asserts=("assert add(1, 2) == 3",), timeout=60.0)
    assert old.run(harmless).reason is Reason.ERROR
    free = ProcessSandbox(unfenced=True, landlock=0)
    free.check()
    assert free.run(harmless).reason is Reason.CORRECT
    assert ProcessSandbox().run(steals).reason is Reason.WRONG


@KERNEL
def test_a_restriction_that_fails_only_once_costs_its_own_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    assert verify_code(ADD, PROBLEM).correct
    monkeypatch.setattr(processes, "REQUIRED", {**REQUIRED, "flux": "anything new"})
    assert verify_code(ADD, PROBLEM).reason is Reason.ERROR
    monkeypatch.undo()
    assert verify_code(ADD, PROBLEM).correct


SLEEPS = Job("import time\ntime.sleep(60)", timeout=2.0)


def test_who_waited_for_a_processor_half_of_the_time_failed_by_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = ProcessSandbox(unfenced=True)
    for job in (SLEEPS, replace(SLEEPS, asserts=("f()",))):
        for queued, reason in ((0.9, Reason.WRONG), (1.1, Reason.TIMEOUT)):  # of 2 seconds, half is 1
            monkeypatch.setattr(processes, "seconds_withheld", lambda _, queued=queued: queued)
            assert sandbox.run(job).reason is reason


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import time; time.sleep(60)", Reason.TIMEOUT),  # a machine that is too busy to start it
        ("raise SystemExit(1)", Reason.ERROR),
        ("import os; os.kill(os.getpid(), 9)", Reason.ERROR),
        ("import sys; print('missing seccomp', file=sys.stderr)", Reason.ERROR),
        ("import sys; print('nonsense', file=sys.stderr)", Reason.ERROR),
    ],
)
def test_a_process_that_does_not_begin_is_a_failure_of_ours(
    program: str, reason: Reason, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "child.py").write_text(program)
    monkeypatch.setattr(processes, "_PROGRAM", tmp_path / "child.py")
    monkeypatch.setattr(processes, "_START", 3.0)
    for job in (SLEEPS, replace(SLEEPS, asserts=("f()",))):
        assert ProcessSandbox(unfenced=True).run(job).reason is reason


def test_a_sandbox_and_a_task_with_one_can_be_pickled() -> None:
    task = make_task("Code", size=2, unfenced=True)
    copy = pickle.loads(pickle.dumps(task))
    assert [problem.id for problem in copy.problems] == [problem.id for problem in task.problems]
    assert pickle.loads(pickle.dumps(ProcessSandbox(unfenced=True))) == ProcessSandbox(unfenced=True)


@contextmanager
def descriptors(left: int) -> Iterator[None]:
    """This process may open `left` more files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    opened: list[int] = []
    try:
        with contextlib.suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        for descriptor in opened[len(opened) - left :]:
            os.close(descriptor)
        del opened[len(opened) - left :]
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in opened:
            os.close(descriptor)


@pytest.mark.parametrize("left", range(12))
def test_without_descriptors_a_verdict_is_an_error_and_nothing_is_raised(left: int) -> None:
    pool = Pool(workers=1)
    opened = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    with descriptors(left):
        for _ in range(3):
            assert verify_code(ADD, PROBLEM).reason in (Reason.ERROR, Reason.CORRECT)
            assert pool.compare("x", "y", 60.0) in (Reason.ERROR, Reason.WRONG)
    pool.close()
    assert not opened or len(os.listdir("/proc/self/fd")) == len(opened)
    assert verify_code(ADD, PROBLEM).correct


def test_with_no_descriptor_at_all_the_verdict_is_an_error() -> None:
    with descriptors(0):
        assert verify_code(ADD, PROBLEM).reason is Reason.ERROR
        assert Pool(workers=1).compare("x", "y", 60.0) is Reason.ERROR
        assert grade(r"\boxed{\sqrt{2} + 1 + \pi^3}", r"\sqrt{2} + \pi^3").reason in (Reason.ERROR, Reason.WRONG)


def test_the_first_verdict_of_a_process_needs_no_descriptor_to_be_an_error() -> None:
    program = (
        "import resource\n"
        "from reasonenv.core import Problem\n"
        "from reasonenv.verify.sandbox.unit_tests import UnitTests, verify_code\n"
        "problem = Problem('p', '', '', meta={'tests': UnitTests(('assert add(1, 2) == 3',))})\n"
        "for most in (3, 4, 6, 9, 60):\n"
        "    resource.setrlimit(resource.RLIMIT_NOFILE, (most, 60))\n"
        "    print(verify_code('```\\ndef add(a, b): return a + b\\n```', problem).reason)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    first, *_, last = done.stdout.split()
    assert (first, last) == ("error", "correct")
