"""What a sandbox is: something that runs a program of an answer under limits and says how it went.

`processes.ProcessSandbox` is the one that comes with the package. Another one (bubblewrap, a container, a service) is a
class with `check` and `run`, made as `Class(unfenced=...)`: it is given a `Job`, plain data, and may run it in whatever
way keeps the program from everything but the job. It is named by `sandbox=`, as in `registry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from reasonenv.core import Reason
from reasonenv.errors import UserError
from reasonenv.registry import Registry


@dataclass(frozen=True)
class Job:
    """A program, the limits on it, and what is done with it: it is called by `asserts`, or reads `stdin`.

    `asserts` and `entry_point` are those of `unit_tests.UnitTests`. A program without asserts is a script.
    """

    code: str
    stdin: str = ""
    asserts: tuple[str, ...] = ()
    entry_point: str = ""
    seconds: int = 4  # of CPU
    megabytes: int = 1024  # of address space
    timeout: float = 10.0  # seconds on the wall


@dataclass(frozen=True)
class Reply:
    """How a job went.

    `reason` is `CORRECT` if the asserts hold, or if a script ended with status 0; then `output` is what it has printed.
    `WRONG`: an assert failed; or the program crashed, printed too much, used up its limits, or did not answer in time
    although it could have run. `UNPARSABLE_ANSWER`: it is no Python. `UNPARSABLE_GOLD`: the asserts are none. `TIMEOUT`
    and `ERROR` are failures of the sandbox: it had no processor for the program, or could not run it at all.
    """

    reason: Reason
    output: bytes = b""
    seconds: float = 0.0  # on the wall, from the moment when the program could run


class Backend(Protocol):
    """Runs programs that nobody has read. Any thread may call."""

    def check(self) -> None:
        """Raises `UserError`, in one line, if programs cannot be kept here from what they must not do."""

    def run(self, job: Job) -> Reply:
        """Runs a program for at most its limits. No failure of the program or of the sandbox is raised."""


def _check_sandbox(name: str, sandbox: Any) -> None:
    if not callable(sandbox) or not callable(getattr(sandbox, "run", None)):
        raise UserError(
            f"sandbox {name!r} is {sandbox!r}; it must be a class with the methods of "
            "reasonenv.verify.sandbox.backend.Backend"
        )


SANDBOXES: Registry[Any] = Registry(
    "sandbox",
    "reasonenv.sandboxes",
    {"process": "reasonenv.verify.sandbox.processes:ProcessSandbox"},
    _check_sandbox,
)


def make_sandbox(name: str = "process", *, unfenced: bool = False) -> Backend:
    """The sandbox called `name`, checked. With `unfenced` it runs programs even where it cannot keep them in.

    Raises `UserError` for an unknown name, and without `unfenced` for a sandbox that keeps nothing in here.
    """
    sandbox: Backend = SANDBOXES.find(name)(unfenced=unfenced)
    sandbox.check()
    return sandbox
