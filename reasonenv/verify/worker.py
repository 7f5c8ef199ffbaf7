"""One worker process of the pool: a line with a function and its arguments in, a line with its reply out.

The reply is a string, or the `failure` of a function that raised: `wrong` if its arguments need more memory or a
deeper stack than there is, else `error`. A job without arguments only imports the function, and is answered `ready`.
Started by `pool` only.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from importlib import import_module

GRACE = 5  # seconds by which a worker outlives the clock of a parent that is gone


def main(megabytes: int) -> None:
    """Answers until the input ends. Memory is bounded where the platform can; whatever fails is told as a failure."""
    import sympy  # noqa: F401  # so that the first question costs no more than the others

    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    replies = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # nothing but replies may reach the parent
    functions: dict[str, Callable[..., str]] = {}
    for line in sys.stdin:
        job = json.loads(line)
        name = job["function"]
        if "arguments" not in job:
            module, _, attribute = name.partition(":")
            functions[name] = getattr(import_module(module), attribute)
            print("ready", file=replies)
            continue
        signal.alarm(int(job["seconds"]) + GRACE)
        try:
            answer = {"reply": functions[name](*job["arguments"])}
        except (MemoryError, RecursionError):
            answer = {"failure": "wrong"}
        except Exception as error:
            arguments = " and ".join(repr(argument[:80]) for argument in job["arguments"])
            print(f"verify: {type(error).__name__} on {arguments}: {str(error)[:200]}", file=sys.stderr)
            answer = {"failure": "error"}
        signal.alarm(0)
        print(json.dumps(answer), file=replies)
