"""One pool of processes for the whole run, for the judgements that may take for ever. The parent owns the clock.

A hang or a worker's death costs its own verdict, and a new worker takes the place. Any thread may call. Workers are
plain child processes that read lines, so nothing of the parent is forked, pickled or imported again, and scripts need
no `if __name__ == "__main__"`.

Whose failure it is. A text that takes more work than there is time, more memory or a deeper stack than a worker has,
or that crashes a worker, is not equal to anything that we can tell: `WRONG`, so that nobody learns to write such texts
to escape a verdict. `TIMEOUT` and `ERROR` are ours: a worker that was not let run for half of its time, did not
start, was killed from outside, or met an error of the function.
"""

from __future__ import annotations

import atexit
import json
import os
import selectors
import signal
import sys
import threading
from collections.abc import Sequence
from time import monotonic
from typing import Any

from reasonenv.core import Reason
from reasonenv.verify.child_process import seconds_withheld, start
from reasonenv.verify.fair_semaphore import FairSemaphore

TIMEOUT = 5.0  # seconds for one judgement
MEGABYTES = 2048  # of address space, a worker
_START = 120.0  # seconds for a worker to import what it needs, on a machine that is busy
_PROGRAM = "import sys; sys.path[:] = sys.argv[2:]; from reasonenv.verify.worker import main; main(int(sys.argv[1]))"
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Pool:
    """Up to `workers` processes, each started when it is first needed."""

    def __init__(self, workers: int | None = None, megabytes: int = MEGABYTES) -> None:
        self.workers = workers or os.cpu_count() or 1
        self.megabytes = megabytes
        self._free = FairSemaphore(self.workers)
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()

    def compare(self, answer: str, gold: str, timeout: float = TIMEOUT, rules: str = "") -> Reason:
        """`algebra.compare.compare` in a worker, as `judge` calls it; `rules` is the JSON of `rules.Rules`."""
        return self.judge("reasonenv.verify.algebra.compare:compare", (answer, gold, rules), timeout)

    def judge(self, function: str, arguments: Sequence[str], timeout: float = TIMEOUT) -> Reason:
        """What `function`, a `module:name` that returns a `Reason`, says of texts, as `call` calls it."""
        return Reason(self.call(function, arguments, timeout))

    def call(self, function: str, arguments: Sequence[str], timeout: float = TIMEOUT) -> str:
        """What `function`, a `module:name` that returns a string, says of texts, called in a worker.

        A `Reason` where it says nothing: `WRONG` if the texts are too much for it within `timeout` seconds, `TIMEOUT`
        or `ERROR` if we failed. Waits for a free worker first, and until that has imported the module; the clock starts
        when the work does.
        """
        with self._free:
            try:
                worker = self._living() or self._new()
            except OSError as error:  # no descriptors, processes or memory left
                print(f"verify: no worker for a comparison: {error}", file=sys.stderr)
                return Reason.ERROR
            usable = False
            try:
                reply, usable = worker.ask(function, arguments, timeout)
            finally:  # an interrupted question leaves a reply that nobody waits for: that worker goes too
                with self._lock:
                    if usable:
                        self._idle.append(worker)
                    else:
                        self._all.discard(worker)
                        worker.stop()
            return reply

    def _new(self) -> _Worker:
        worker = _Worker(self.megabytes)
        with self._lock:
            self._all.add(worker)
        return worker

    def _living(self) -> _Worker | None:
        """An idle worker, if there is one; those that were killed while they idled cost no verdict."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    return worker
                self._all.discard(worker)
                worker.stop()
        return None

    def close(self) -> None:
        """Ends all workers. A comparison under way in another thread becomes an `error`."""
        with self._lock:
            for worker in self._idle:
                worker.stop()
            for worker in self._all.difference(self._idle):
                worker.kill()  # whoever asks it sees that it is gone, and tidies up
            self._all.clear()
            self._idle.clear()


class _Worker:
    """A child process and the pipes to it. One thread at a time may ask."""

    def __init__(self, megabytes: int) -> None:
        self._selector = selectors.DefaultSelector()
        try:
            self._process = start(
                [sys.executable, "-c", _PROGRAM, str(megabytes), *(path or os.getcwd() for path in sys.path)],
                ("stdin", "stdout"),
                env={**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "PYTHONHASHSEED": "0"},  # sets have one order
            )
        except BaseException:
            self._selector.close()
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._jobs, self._replies = self._process.stdin, self._process.stdout
        self._selector.register(self._replies, selectors.EVENT_READ)
        self._known: set[str] = set()  # functions whose modules it has imported

    def ask(self, function: str, arguments: Sequence[str], seconds: float) -> tuple[str, bool]:
        """What `Pool.call` returns, and whether the process can be asked again."""
        try:
            if function not in self._known:
                self._write({"function": function})
                if self._line(_START) != "ready":
                    return Reason.ERROR, False
                self._known.add(function)
            withheld = seconds_withheld(self._process.pid)
            self._write({"function": function, "arguments": arguments, "seconds": seconds})
        except BrokenPipeError:
            return Reason.ERROR, False
        line = self._line(seconds)
        if line:
            said = json.loads(line)
            if "reply" in said:
                return said["reply"], True
            return Reason(said["failure"]), True
        if line is None:
            if seconds_withheld(self._process.pid) - withheld <= seconds / 2:  # not so if it is stopped
                return Reason.WRONG, False
            return Reason.TIMEOUT, False
        if self._process.wait() == -signal.SIGKILL:  # by somebody else: it would crash by other signals
            return Reason.ERROR, False
        return Reason.WRONG, False

    def _write(self, job: dict[str, Any]) -> None:
        self._jobs.write(json.dumps(job).encode() + b"\n")

    def _line(self, seconds: float) -> str | None:
        """The next line; None if there is none in time, empty if the process is gone."""
        deadline, line = monotonic() + seconds, b""
        while not line.endswith(b"\n"):
            if not self._selector.select(max(0.0, deadline - monotonic())):
                return None
            piece = os.read(self._replies.fileno(), 256)
            if not piece:
                return ""
            line += piece
        return line.decode().strip()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()

    def stop(self) -> None:
        """Ends the process and gives back its pipes."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        self._jobs.close()
        self._replies.close()


_lock = threading.Lock()
_shared: dict[str, Pool] = {}


def shared(purpose: str = "verdicts") -> Pool:
    """The one pool of this process for a purpose, made when it is first needed and closed at exit.

    Code of others that may change its process has a purpose, and so workers, of its own.
    """
    with _lock:
        if purpose not in _shared:
            _shared[purpose] = Pool()
            atexit.register(_shared[purpose].close)
        return _shared[purpose]


def _forget() -> None:
    """A forked child has its own run: the workers and the lock that it copied belong to its parent."""
    global _lock
    for pool in _shared.values():
        atexit.unregister(pool.close)
    _shared.clear()
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_forget)
