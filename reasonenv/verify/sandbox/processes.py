"""The sandbox that comes with the package: processes of this machine, restricted by its kernel.

A program runs in a process of its own, in an empty folder, without our environment and open files, under the
restrictions of `restrictions.py` (which says what holds where). The parent owns the clock and kills the whole process
group. Tests run in a second process, and only plain data crosses between them (`child.py`): an expected value is never
where the program could read it, and no verdict is ever taken from its word.

What counts as whose failure: a program that sleeps, floods its output, is killed by a limit or takes its process down
is wrong. What it cannot provoke is ours: a process that does not start or does not report its restrictions (`ERROR`),
and a program that was not let run for half of its time (`TIMEOUT`; see `child_process`).
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, Any, TypeVar

from reasonenv.core import Reason
from reasonenv.errors import UserError
from reasonenv.verify.child_process import seconds_withheld, start
from reasonenv.verify.fair_semaphore import FairSemaphore
from reasonenv.verify.sandbox.backend import Job, Reply

T = TypeVar("T")

MAX_OUTPUT = 1 << 20  # bytes that a program may print
# Without which no program is run, and what each keeps a program from.
REQUIRED = {
    "cpu": "using the processor without end",
    "as": "using memory without end",
    "nofile": "opening files without end",
    "fsize": "writing to files",
    "landlock": "reading files (Landlock: Linux 5.13)",
    "seccomp": "starting processes, signals, sockets and shared memory (seccomp: Linux on x86-64 or AArch64)",
    "capabilities": "using the rights of the superuser",
}

_START = 60.0  # seconds for a process to start and to restrict itself, on a machine that is busy
_PROGRAM = Path(__file__).with_name("child.py")
_permits = FairSemaphore(os.cpu_count() or 1)  # programs at once; each may have two processes


@dataclass(frozen=True)
class ProcessSandbox:
    """Runs each program in a restricted process of this machine. Where the kernel cannot restrict it, it refuses.

    `unfenced` runs programs all the same, with what restrictions there are. `landlock` is the version of Landlock's
    interface to use at most, to see what an older kernel keeps a program from; 0 stands for a kernel without it.
    """

    unfenced: bool = False
    landlock: int | None = None

    def check(self) -> None:
        """Raises `UserError` if a required restriction is missing here. A process that does not start says nothing."""
        if self.unfenced:
            return
        missing = [name for name in REQUIRED if name not in self.restrictions()]
        if missing:
            raise UserError(
                f"programs of a model would not be kept from {' and '.join(REQUIRED[name] for name in missing)} here; "
                "use another sandbox= or say unfenced=true"
            )

    def restrictions(self) -> Sequence[str]:
        """The names of the restrictions that are in force here, whatever is required; `REQUIRED` if nobody can tell."""
        with contextlib.suppress(OSError), _children() as children:
            line = children.start(self._job(Job(""), "program", required=())).first_line(monotonic() + _START)
            if line is not None:
                return line.split()[1:]
        return tuple(REQUIRED)

    def run(self, job: Job) -> Reply:
        """As `backend.Backend.run`. At most as many programs as there are processors run at once."""
        with _permits:
            try:
                with _children() as children:
                    return self._by_asserts(children, job) if job.asserts else self._script(children, job)
            except OSError as error:
                return _failed(f"no process for a program: {error}")

    def _job(self, job: Job, role: str, **more: Any) -> dict[str, Any]:
        required = () if self.unfenced else tuple(REQUIRED)
        limits = {"seconds": job.seconds, "megabytes": job.megabytes, "landlock": self.landlock, "required": required}
        return {"role": role, "code": job.code, **limits, **more}

    def _by_asserts(self, children: _Children, job: Job) -> Reply:
        with _pipe() as (calls_out, calls_in), _pipe() as (replies_out, replies_in):
            program = children.start(self._job(job, "functions"), stdin=calls_out, stdout=replies_in)
            tests = self._job(job, "tests", code="", tests=job.asserts, entry_point=job.entry_point)
            tester = children.start(tests, stdin=replies_out, stdout=calls_in)
        failure = children.failure_to_start()
        if failure is not None:
            return failure
        report, seconds = _timed(tester.report, job.timeout)
        if report is None:
            return Reply(children.late(job.timeout), seconds=seconds)
        children.kill()
        if "bad tests" in report:
            reason = Reason.UNPARSABLE_GOLD
        elif "syntax" in (program.report() or ()):
            reason = Reason.UNPARSABLE_ANSWER
        else:
            reason = Reason.of("passed" in report)
        return Reply(reason, seconds=seconds)

    def _script(self, children: _Children, job: Job) -> Reply:
        program = children.start(self._job(job, "program"), text=job.stdin)
        failure = children.failure_to_start()
        if failure is not None:
            return failure
        output, seconds = _timed(program.output, job.timeout)
        if output is None:
            return Reply(children.late(job.timeout), seconds=seconds)
        children.kill()
        if "syntax" in (program.report() or ()):
            return Reply(Reason.UNPARSABLE_ANSWER, seconds=seconds)
        well = program.process.returncode == 0 and len(output) <= MAX_OUTPUT
        return Reply(Reason.of(well), output, seconds)


def _failed(why: str) -> Reply:
    print(f"verify: {why}", file=sys.stderr)
    return Reply(Reason.ERROR)


def _forget() -> None:
    """A forked child has its own run: the threads that wait at the copied semaphore exist in its parent only."""
    global _permits
    _permits = FairSemaphore(os.cpu_count() or 1)


os.register_at_fork(after_in_child=_forget)


@contextlib.contextmanager
def _children() -> Iterator[_Children]:
    children = _Children(tempfile.mkdtemp(prefix="reasonenv-"))
    try:
        yield children
    finally:
        children.close()


class _Children:
    """An empty folder, which goes with them, and the processes in it."""

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.children: list[_Child] = []

    def start(self, job: dict[str, Any], *, text: str = "", **streams: int) -> _Child:
        """A child in its own session. Where its `streams` are not given it reads `text` and writes to us."""
        with _file(json.dumps(job)) as job_file, _file(text) as text_file:
            process = start(
                [sys.executable, "-P", "-s", "-S", "-B", str(_PROGRAM), str(job_file)],
                ("stderr",) if "stdout" in streams else ("stdout", "stderr"),
                **{"stdin": text_file, **streams},
                pass_fds=(job_file,),
                env={"PYTHONHASHSEED": "0", "PYTHONUTF8": "1"},  # the order of a set of words is the same in every run
                cwd=self.folder,
                start_new_session=True,
            )
        self.children.append(_Child(process))
        return self.children[-1]

    def failure_to_start(self) -> Reply | None:
        """None once all are restricted as they must be and begin; else the reply that is our failure."""
        deadline = monotonic() + _START
        for child in self.children:
            line = child.first_line(deadline)
            if line is None:
                return Reply(Reason.TIMEOUT)
            word, *names = line.split() or [""]
            if word != "ready":
                return _failed(f"a program was not run: {' and '.join(names) or 'its restrictions'} could not be set")
        return None

    def late(self, timeout: float) -> Reason:
        """Why there was no reply in time: a machine without a processor for it, or the program itself."""
        withheld = max(seconds_withheld(child.process.pid) for child in self.children)
        return Reason.TIMEOUT if withheld > timeout / 2 else Reason.WRONG

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
        try:
            os.rmdir(self.folder)
        except OSError:  # a program without restrictions has left something there
            shutil.rmtree(self.folder, ignore_errors=True)


class _Child:
    """A process, and its output."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._report = b""

    def first_line(self, deadline: float) -> str | None:
        """The first line of its report, empty if it ended without one; None if the deadline came first."""
        assert self.process.stderr is not None
        while b"\n" not in self._report:
            piece = _read(self.process.stderr, deadline)
            if piece is None:
                return None
            if not piece:
                return ""
            self._report += piece
        return self._report.partition(b"\n")[0].decode(errors="replace")

    def report(self, deadline: float | None = None) -> list[str] | None:
        """The lines of its report, once it is whole; None if the deadline came first."""
        assert self.process.stderr is not None
        rest = _read_all(self.process.stderr, deadline)
        if rest is None:
            return None
        self._report += rest
        return self._report.decode(errors="replace").splitlines()

    def output(self, deadline: float) -> bytes | None:
        """What it printed until it ended, or a little more than `MAX_OUTPUT` of it; None if the deadline came first."""
        assert self.process.stdout is not None
        printed = _read_all(self.process.stdout, deadline)
        if printed is None or len(printed) > MAX_OUTPUT:
            return printed
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, deadline - monotonic()))
            return printed
        return None


def _read_all(pipe: IO[bytes], deadline: float | None) -> bytes | None:
    """All to the end of a pipe, or the first bytes that go beyond `MAX_OUTPUT`; None if the deadline came first."""
    content = bytearray()
    while len(content) <= MAX_OUTPUT:
        piece = _read(pipe, deadline)
        if piece is None:
            return None
        if not piece:
            break
        content += piece
    return bytes(content)


def _read(pipe: IO[bytes], deadline: float | None) -> bytes | None:
    """The next bytes of a pipe, none at its end; None if the deadline came first."""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        wait = None if deadline is None else max(0.0, deadline - monotonic())
        return os.read(pipe.fileno(), 1 << 16) if selector.select(wait) else None


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    try:
        yield ends
    finally:
        for end in ends:
            os.close(end)


def _timed(read: Callable[[float], T], seconds: float) -> tuple[T, float]:
    """What is read within a number of seconds, and how many it took."""
    start = monotonic()
    return read(start + seconds), monotonic() - start


@contextlib.contextmanager
def _file(text: str) -> Iterator[int]:
    """A descriptor that reads `text` from a file without a name, and can neither write to it nor enlarge it."""
    descriptor, path = tempfile.mkstemp(prefix="reasonenv-")  # out of reach of a program that already runs
    try:
        with open(descriptor, "wb") as file:
            file.write(text.encode("utf-8", "surrogatepass"))
        reader = os.open(path, os.O_RDONLY)
    finally:
        os.unlink(path)
    try:
        yield reader
    finally:
        os.close(reader)
