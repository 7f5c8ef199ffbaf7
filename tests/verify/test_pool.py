"""The pool: a hang or a death costs one verdict, order is kept, and any thread, fork or script may call."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from reasonenv.core import Reason
from reasonenv.errors import UserError
from reasonenv.verify.child_process import seconds_withheld
from reasonenv.verify.fair_semaphore import FairSemaphore
from reasonenv.verify.grade import grade, grade_many
from reasonenv.verify.pool import Pool, shared

PATIENCE = 60.0  # seconds
ROOT, HALF_ROOT = r"\frac{1}{\sqrt{3}}", r"\frac{\sqrt{3}}{3}"
# True, and beyond SymPy: the product of sin(1), sin(3), .., sin(89) degrees is sqrt(2) / 2^45.
SINES = r"\cdot ".join(rf"\sin {degrees}^\circ" for degrees in range(1, 90, 2))
SINES_GOLD = r"\frac{\sqrt{2}}{2^{45}}"


def test_a_hang_costs_its_own_verdict_only() -> None:
    pool = Pool(workers=1)
    try:
        assert pool.compare(ROOT, HALF_ROOT, PATIENCE) is Reason.CORRECT
        assert pool.compare(SINES, SINES_GOLD, 0.5) in (Reason.WRONG, Reason.TIMEOUT)  # by the load of the machine
        assert pool.compare(ROOT, HALF_ROOT, PATIENCE) is Reason.CORRECT
    finally:
        pool.close()


# Functions for workers: what each text makes of them.
WORK = """
import ctypes, os, signal, time

def work(text):
    if text == "spin":
        while True: pass
    if text == "sleep":
        time.sleep(60)
    if text == "memory":
        return "x" * 10**10
    if text == "deep":
        return work("deep")
    if text == "crash":
        ctypes.string_at(0)
    if text == "exit":
        os._exit(3)
    if text == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "bug":
        raise KeyError(text)
    return "correct"
"""


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "work_of_a_test.py").write_text(WORK)
    monkeypatch.syspath_prepend(tmp_path)  # a worker has the path of its parent
    return "work_of_a_test:work"


@pytest.mark.parametrize("text", ["spin", "sleep", "memory", "deep", "crash", "exit"])
def test_what_a_text_provokes_is_wrong_and_costs_its_own_verdict(
    work: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(workers=1)
    monkeypatch.setattr("reasonenv.verify.pool.seconds_withheld", lambda _: 0.0)  # whatever else this machine does
    try:
        assert pool.judge(work, ("well",), PATIENCE) is Reason.CORRECT
        assert pool.judge(work, (text,), 2.0) is Reason.WRONG
        assert pool.judge(work, ("well",), PATIENCE) is Reason.CORRECT
    finally:
        pool.close()


@pytest.mark.parametrize("text", ["killed", "bug"])
def test_what_no_text_can_provoke_is_an_error(work: str, text: str) -> None:
    pool = Pool(workers=1)
    try:
        assert pool.judge(work, (text,), PATIENCE) is Reason.ERROR
        assert pool.judge("no_such_module:work", ("well",), PATIENCE) is Reason.ERROR
        assert pool.judge(work, ("well",), PATIENCE) is Reason.CORRECT
    finally:
        pool.close()


def test_a_worker_that_waited_for_a_processor_is_a_timeout(work: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(workers=1)
    queued = iter((7.0, 7.9, 7.0, 8.1))  # seconds, before and after each question; of 2 seconds, half is 1
    monkeypatch.setattr("reasonenv.verify.pool.seconds_withheld", lambda _: next(queued))
    try:
        assert pool.judge(work, ("sleep",), 2.0) is Reason.WRONG
        assert pool.judge(work, ("sleep",), 2.0) is Reason.TIMEOUT
    finally:
        pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells")
def test_a_worker_that_somebody_has_stopped_is_a_timeout(work: str) -> None:
    pool = Pool(workers=1)
    try:
        for _ in range(2):
            assert pool.judge(work, ("well",), PATIENCE) is Reason.CORRECT
            (worker,) = pool._all
            os.kill(worker._process.pid, signal.SIGSTOP)
            assert pool.judge(work, ("well",), 2.0) is Reason.TIMEOUT
    finally:
        pool.close()


@pytest.mark.skipif(sys.platform != "linux", reason="nobody counts them")
def test_the_time_in_the_queue_is_that_of_a_process_that_could_run() -> None:
    # three processes on one processor: each waits for about two thirds of its time, and one that sleeps for none
    spins = [
        sys.executable,
        "-c",
        "import os\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\nwhile True: pass",
    ]
    sleeps = [sys.executable, "-c", "import time\ntime.sleep(99)"]
    processes = [subprocess.Popen(command) for command in (spins, spins, spins, sleeps)]
    try:
        time.sleep(3.0)
        *waited, slept = (seconds_withheld(process.pid) for process in processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert sum(waited) > 3.0 > 2 * slept
    assert seconds_withheld(processes[0].pid) == 0.0  # it is gone


def test_the_death_of_a_worker_costs_its_own_verdict_only() -> None:
    pool = Pool(workers=1)
    try:
        assert pool.compare("1", "2", PATIENCE) is Reason.WRONG
        with ThreadPoolExecutor(1) as executor:
            hanging = executor.submit(pool.compare, SINES, SINES_GOLD, PATIENCE)
            closer = threading.Timer(1.0, pool.close)
            closer.start()
            assert hanging.result() is Reason.ERROR
            closer.join()
        assert pool.compare(ROOT, HALF_ROOT, PATIENCE) is Reason.CORRECT
    finally:
        pool.close()


def test_workers_killed_from_outside_cost_at_most_what_they_work_on() -> None:
    pool = Pool(workers=2)
    try:
        assert pool.compare("1", "2", PATIENCE) is Reason.WRONG
        for worker in list(pool._all):
            worker.kill()  # idle: SIGKILL, as by a system without memory
            worker._process.wait()
        assert pool.compare(ROOT, HALF_ROOT, PATIENCE) is Reason.CORRECT
        with ThreadPoolExecutor(16) as executor:
            hanging = executor.submit(pool.compare, SINES, SINES_GOLD, PATIENCE)
            others = [executor.submit(pool.compare, ROOT, HALF_ROOT, PATIENCE) for _ in range(15)]
            assert [other.result() for other in others] == [Reason.CORRECT] * 15
            busy = pool._all.difference(pool._idle)
            assert len(busy) == 1
            os.kill(busy.pop()._process.pid, signal.SIGKILL)
            assert hanging.result() is Reason.ERROR
        assert pool.compare(ROOT, HALF_ROOT, PATIENCE) is Reason.CORRECT
    finally:
        pool.close()


def test_nobody_overtakes_at_the_gate() -> None:
    semaphore, served = FairSemaphore(1), list[int]()

    def come(number: int) -> None:
        with semaphore:
            served.append(number)

    threads = [threading.Thread(target=come, args=(number,)) for number in range(8)]
    with semaphore:
        for number, thread in enumerate(threads):
            thread.start()
            while len(semaphore._waiting) <= number:
                time.sleep(0.001)
    with semaphore:  # who comes back at once finds all the others before it
        assert served == list(range(8))
    assert semaphore._free == 1


def _ask_pool(queue: Any) -> None:
    with ThreadPoolExecutor(4) as executor:
        jobs = [(rf"\boxed{{{ROOT}}}", HALF_ROOT)] * 4
        queue.put(all(executor.map(lambda job: grade(*job, timeout=PATIENCE).correct, jobs)))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_of_both_start_methods_have_their_own_workers(method: str) -> None:
    assert grade(rf"\boxed{{{ROOT}}}", HALF_ROOT, timeout=PATIENCE).correct  # the parent has a pool when it forks
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_ask_pool, args=(queue,))
    process.start()
    assert queue.get(timeout=PATIENCE)
    process.join(PATIENCE)
    assert process.exitcode == 0


def test_a_worker_without_memory_to_start_is_an_error_and_no_crash() -> None:
    pool = Pool(workers=1, megabytes=1)
    try:
        for _ in range(2):
            assert pool.compare("(x+1)^{90}(x-1)^{90}", "(x^2-1)^{90}", PATIENCE) is Reason.ERROR
    finally:
        pool.close()


def test_many_keeps_the_order_of_all_kinds_of_verdicts() -> None:
    texts = [ROOT, "18", "none", HALF_ROOT, "17", r"\foo", r"\sqrt{2}"] * 9
    golds = [HALF_ROOT, "18", HALF_ROOT, ROOT, "18", ROOT, r"\foo"] * 9
    expected = ["correct", "correct", "no_answer", "correct", "wrong", "unparsable_answer", "unparsable_gold"] * 9
    boxed = ["" if text == "none" else rf"\boxed{{{text}}}" for text in texts]
    for workers in (1, None):
        verdicts = grade_many(boxed, golds, workers=workers, timeout=PATIENCE)
        assert [verdict.reason for verdict in verdicts] == expected
        assert [verdict.gold for verdict in verdicts] == golds


def test_one_and_many_agree() -> None:
    texts, golds = [r"\boxed{2\pi}", "#### 5", "#### 5 cm", r"\boxed{5}"], [r"\pi+\pi", "5", "5", r"\pi"]
    one_by_one = [grade(text, gold, timeout=PATIENCE) for text, gold in zip(texts, golds, strict=True)]
    assert grade_many(texts, golds, timeout=PATIENCE) == one_by_one


def test_bad_arguments_are_user_errors() -> None:
    with pytest.raises(UserError, match="2 of them, but 1 golds"):
        grade_many(["1", "2"], ["1"])
    with pytest.raises(UserError, match="workers=0"):
        grade_many([], [], workers=0)
    with pytest.raises(UserError, match="timeout=0"):
        grade("1", "1", timeout=0)
    assert grade_many([], []) == []


def test_numbers_and_choices_start_no_process() -> None:
    program = (
        "import reasonenv.verify.pool as pool; from reasonenv.verify.grade import grade, grade_many;"
        "grade('#### 5', '5'); grade_many(['5', 'x'], ['5', '6'], kind='numeric'); grade('B', 'B', kind='choice');"
        "import sys; print(len(pool._shared), 'sympy' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "False"]


def test_a_script_needs_no_guard_and_leaves_no_process(tmp_path: Path) -> None:
    root = str(Path(__file__).resolve().parents[2])
    script = tmp_path / "script.py"
    script.write_text(f"import sys; sys.path.insert(0, {root!r})\nfrom reasonenv import grade\n")
    with script.open("a") as file:
        file.write("print(grade(r'\\boxed{\\pi+\\pi}', r'2\\pi', timeout=60).reason)\n")
        file.write("from reasonenv.verify.pool import shared\nprint(*(w._process.pid for w in shared()._all))\n")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True)
    reason, worker = done.stdout.split()
    assert reason == "correct"
    with pytest.raises(ProcessLookupError):
        os.kill(int(worker), 0)


def test_a_forked_child_has_its_own_workers() -> None:
    program = (
        "import os; from reasonenv import grade;"
        "ask = lambda: grade(r'\\boxed{\\pi+\\pi}', r'2\\pi', timeout=60).correct; first = ask(); child = os.fork();\n"
        "if child == 0: raise SystemExit(0 if ask() else 1)\n"
        "_, status = os.waitpid(child, 0); print(first, status, ask())"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "0", "True"]


HOSTILE = [
    *(
        "9**9**9**9",
        "9^" * 300 + "9",
        "9^{" * 300 + "9" + "}" * 300,
        "9" * 10**6,
        "1e999999999",
        "10^{10^{10}}",
        "5000!^{5000}",
    ),
    *(
        "(" * 500 + "1" + ")" * 500,
        "{" * 900,
        r"\frac{" * 150,
        r"\sqrt{" * 200 + "2" + "}" * 200,
        "|" * 900,
        "-" * 900 + "5",
    ),
    *(
        "!" * 900,
        "5" + "!" * 500,
        "(x+y+z)^{999}",
        "(a+b+c+d+f)^{99}(a-b)^{99}",
        "x^{x^{x^{x^{x}}}}",
        "e^{e^{e^{e^{e^9}}}}",
    ),
    *(r"\sin(" * 60 + "1" + ")" * 60, r"\sin(9^{9^9})", r"\ln(\ln(\ln 1))", r"\ln 0", r"\tan 90^\circ", "1/(x-x)"),
    *(
        "__import__('os').system('true')",
        "exec('1')",
        "\x00" * 500,
        "1\x00",
        "٣",
        "６",
        "\ud800",
        "\u202e52",
        "1" + "+1" * 450,
    ),
    *(
        "1" + "," * 900,
        ",".join("1" * 300),
        "(1" * 300,
        r"\pm" * 300 + "1",
        r"\pm 1" * 100,
        "1 or " * 150 + "1",
        "x=" * 300,
    ),
    *(
        r"\begin{pmatrix}" * 50,
        r"\begin{pmatrix}" + "1&" * 400,
        "&" * 900,
        r"\\" * 400,
        r"\text{" * 150,
        r"\text{" + "a" * 990,
    ),
    *(
        "x^{1000000}-x^{999999}",
        "2^{1000x}",
        "9^{(900\\cos 0)^{5}}",
        "1/" * 400 + "3",
        "4999!" + "+4999!" * 100,
        "aaa" * 300,
        SINES,
    ),
]


def test_hostile_answers_from_eight_threads_are_never_right_and_never_raise() -> None:
    golds = ["5", r"\sqrt{2}", "x^2", r"\{1,2\}", "(0,1)", r"\frac{1}{3}"]
    jobs = [(rf"\boxed{{{text}}}", gold) for text in HOSTILE for gold in golds]
    jobs += [(f"#### {text}", golds[0]) for text in HOSTILE]
    pool = shared()
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda _: pool.compare(ROOT, HALF_ROOT, PATIENCE), range(32)))
        workers = set(pool._all)
        reasons = list(executor.map(lambda job: grade(*job, extract="marked", timeout=PATIENCE).reason, jobs))
    assert len(reasons) > 300
    assert Reason.CORRECT not in reasons
    assert workers <= pool._all  # the guards see to all of these: none has taken its time, or its worker with it


def test_hostile_golds_say_that_they_are_unreadable_or_compare() -> None:
    golds = [gold for gold in HOSTILE if gold != SINES]
    reasons = {verdict.reason for verdict in grade_many([r"\boxed{\sqrt{7}}"] * len(golds), golds, timeout=PATIENCE)}
    assert reasons <= {Reason.WRONG, Reason.UNPARSABLE_GOLD, Reason.UNPARSABLE_ANSWER, Reason.ERROR}
