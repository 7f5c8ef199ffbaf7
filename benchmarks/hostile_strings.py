"""Hostile responses to all verifiers from 8 threads: none may crash, hang beyond its limit, or be accepted.

Nested braces, power towers, megabyte numbers, bait for slow regular expressions, digits of other scripts, NUL bytes,
random text, and code that forks, writes, opens sockets and allocates 10 GB. Prints verdicts, whatever was accepted,
the throughput, the slowest verdict (its wait for a worker included) and the peak memory of this process, the responses
included, and of its largest child, which is limited (`pool.MEGABYTES`, 256 MB a program). The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from reasonenv.core import Problem, Verdict
from reasonenv.verify.audit import attacks
from reasonenv.verify.grade import grade
from reasonenv.verify.pool import shared
from reasonenv.verify.sandbox.unit_tests import UnitTests, verify_code

THREADS = 8
TIMEOUT = 5.0  # seconds for one comparison, and for all tests of one program
GOLDS = ("18", r"2\sqrt{3}", "x^2+7x+1", r"\{1,2\}", "(0,1)")
PIECES = (
    *(
        "9**9",
        "^{9^9",
        "{",
        "}",
        "(",
        ")",
        "|",
        "[",
        "]",
        "!",
        "%",
        "$",
        "&",
        ",",
        "-",
        "+",
        "/",
        "=",
        "<",
        "_",
        "\\\\",
    ),
    *(r"\frac", r"\sqrt", r"\boxed{", r"\sin", r"\pm", r"\text{", r"\begin{pmatrix}", "x", "e", "i", "7", "0.1", "1e9"),
    *("٣", "５", "½", "\x00", "\u202e", "\ud800", "é", "∞", "#### ", "the answer is ", "1,000", "10^{400}", "\n", " "),
)
LONG = (
    "{",
    "9",
    "(",
    r"\frac{",
    "a",
    " ",
    "the answer is ",
    "####",
    "1,",
    "\x00",
    "٣",
    r"\boxed{",
    "-",
    "$",
    "1 ",
    "```",
)
CODE = (
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "x = bytearray(10**10)",
    "while True: print('x' * 10**6)",
    "open('/tmp/reasonenv-was-here', 'w').write('x')",
    "import socket; socket.create_connection(('127.0.0.1', 80))",
    "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
    "import os; os._exit(0)",
    "9**9**9**9",
    "import ctypes; ctypes.string_at(0)",
    "def add(a, b): return type('Yes', (), {'__eq__': lambda *_: True})()",
    "import builtins; builtins.AssertionError = None",
    "(" * 10**5,
)


def responses(count: int, rng: random.Random) -> Iterator[str]:
    """Responses that look like answers; one in forty is a megabyte."""
    fixed = [trial.text for trial in attacks()]
    for index in range(count):
        if index % 40 == 0:
            piece = rng.choice(LONG)
            body = piece * (10**6 // len(piece))
        elif index % 4 == 0:
            body = rng.choice(fixed)
        else:
            body = "".join(rng.choices(PIECES, k=rng.randint(1, 60)))
        yield rng.choice(("{}", "#### {}", r"\boxed{{{}}}", "The answer is {}", r"so {} \boxed{{7{}}}")).replace(
            "{}", body
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strings", type=int, default=10_000)
    parser.add_argument("--programs", type=int, default=100, help="of the strings, how many are code")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    tests = UnitTests(("assert add(1, 2) == 3",), seconds=1, megabytes=256)
    problem = Problem("add", "", "", meta={"tests": tests})

    def judge(job: tuple[str, str]) -> tuple[str, Verdict]:
        text, kind = job
        if kind == "code":
            return kind, verify_code(text, problem, TIMEOUT)
        return kind, grade(
            text, {"numeric": "18", "choice": "B"}.get(kind) or rng.choice(GOLDS), kind=kind, timeout=TIMEOUT
        )

    kinds = ("math", "math", "math", "numeric", "choice")
    texts = list(responses(arguments.strings - arguments.programs, rng))
    jobs = [(text, kinds[index % len(kinds)]) for index, text in enumerate(texts)]
    jobs += [(f"```python\n{CODE[index % len(CODE)]}\n```", "code") for index in range(arguments.programs)]
    start = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as executor:
        verdicts = list(executor.map(judge, jobs))
    seconds = time.perf_counter() - start

    counts = Counter((kind, str(verdict.reason)) for kind, verdict in verdicts)
    for (kind, reason), count in sorted(counts.items()):
        print(f"{kind:<10} {reason:<20} {count:>6}")
    for job, (kind, verdict) in zip(jobs, verdicts, strict=True):
        if verdict.correct:
            print(f"accepted, {kind}: {job[0][:100]!r} against {verdict.gold!r}")
    shared().close()  # children count once they have ended
    figures = {
        "strings": len(jobs),
        "seconds": round(seconds, 1),
        "per_second": round(len(jobs) / seconds, 1),
        "slowest_seconds": round(max(verdict.millis for _, verdict in verdicts) / 1e3, 2),
        "accepted": sum(verdict.correct for _, verdict in verdicts),
        "timeouts": sum(verdict.reason == "timeout" for _, verdict in verdicts),
        "errors": sum(verdict.reason == "error" for _, verdict in verdicts),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        "peak_megabytes_of_a_child": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
    }
    print(json.dumps({"figures": figures, "ratios": {}}))


if __name__ == "__main__":
    main()
