"""One worker process of the pool: a line with two answers in, a line with the reason out. Started by `pool` only."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys

from reasonenv.core import Reason
from reasonenv.verify.symbolic import compare

GRACE = 5  # seconds by which a worker outlives the clock of a parent that is gone


def main(megabytes: int) -> None:
    """Answers until the input ends. Memory is bounded where the platform can; whatever fails is the verdict `error`."""
    import sympy  # noqa: F401  # so that the first question costs no more than the others

    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # nothing but replies may reach the parent
    print("ready", file=replies)
    for line in sys.stdin:
        job = json.loads(line)
        signal.alarm(int(job["seconds"]) + GRACE)
        try:
            reason = compare(job["answer"], job["gold"])
        except Exception as error:
            print(f"verify: {type(error).__name__} on {job['answer'][:80]!r}: {str(error)[:200]}", file=sys.stderr)
            reason = Reason.ERROR
        signal.alarm(0)
        print(reason, file=replies)
