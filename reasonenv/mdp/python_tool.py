"""A Python interpreter as a tool: the cells of an episode share their names, and run in the sandbox."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reasonenv.core import Problem, Reason
from reasonenv.mdp.tools import Tool
from reasonenv.verify.sandbox import processes
from reasonenv.verify.sandbox.backend import Backend, Job, Reply, make_sandbox
from reasonenv.verify.sandbox.code_block import MAX_CODE

DESCRIPTION = (
    "Runs Python and gives back what it prints and the value of its last line. Names stay defined in later calls. "
    "There are no files, no network and no packages beside the standard library."
)
CELLS = "python_cells"  # the key of an episode's dict under which earlier cells stand
MAX_CHARACTERS = 4_000
_PROGRAM = Path(processes.__file__).with_name("cells.py")


class PythonTool:
    """Runs the cells of a policy.

    Those before are run again each time, so nothing is left behind between two calls; one that was ended by a limit is
    not. `sandbox` is the name of one or a `Backend`. All cells of a call together have `seconds` of CPU, `megabytes`
    and `timeout` seconds on the wall. Raises `UserError` where this machine cannot restrict a program.
    """

    def __init__(
        self, sandbox: str | Backend = "process", *, seconds: int = 4, megabytes: int = 1024, timeout: float = 10.0
    ) -> None:
        self.sandbox = make_sandbox(sandbox) if isinstance(sandbox, str) else sandbox
        self.seconds, self.megabytes, self.timeout = seconds, megabytes, timeout

    def tools(self) -> list[Tool]:
        """The tool `python(code)`."""
        parameters = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}
        # The sandbox has its own clock. What a program prints may depend on the time, on addresses or on other load.
        tool = Tool("python", DESCRIPTION, parameters, self.run, None, False, MAX_CHARACTERS)
        return [tool]

    def run(self, arguments: Mapping[str, Any], problem: Problem, state: dict[str, Any]) -> str:
        """What the cell in `arguments` prints, or why it was ended."""
        if arguments.keys() != {"code"} or not isinstance(arguments["code"], str):
            return "error: python takes one argument, code, a text"
        cells = [*state.get(CELLS, []), arguments["code"]]
        if sum(map(len, cells)) > MAX_CODE:
            return f"error: all cells together have more than {MAX_CODE} characters"
        reply = self.sandbox.run(
            Job(
                _PROGRAM.read_text(),
                stdin=json.dumps(cells),
                seconds=self.seconds,
                megabytes=self.megabytes,
                timeout=self.timeout,
            )
        )
        output = reply.output.decode(errors="replace").rstrip("\n")
        if reply.reason is Reason.CORRECT:
            state[CELLS] = cells
            return output
        return f"error: {self._end(reply)}\n{output}".rstrip("\n")

    def _end(self, reply: Reply) -> str:
        """Why a program did not end by itself."""
        if reply.reason is not Reason.WRONG:
            return "the sandbox could not run the program"
        if len(reply.output) > processes.MAX_OUTPUT:
            return f"more than {processes.MAX_OUTPUT} bytes were printed"
        if reply.seconds >= self.timeout:
            return f"no end within {self.timeout:g} seconds"
        return f"the program was ended; it may use {self.seconds} seconds of CPU and {self.megabytes} MB"
