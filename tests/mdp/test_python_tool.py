"""The Python tool: cells of an episode share their names, run in the sandbox, and end as text whatever they do."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

import reasonenv
from reasonenv.core import Completion, Problem, Reason, Role
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.python_tool import MAX_CHARACTERS, PythonTool
from reasonenv.verify.sandbox.backend import Job, Reply
from reasonenv.verify.sandbox.processes import ProcessSandbox

PROBLEM = Problem("p", "?", "7")
brief = PythonTool(seconds=1)
tool = PythonTool(timeout=30.0)  # long enough for a machine that is busy


def outputs(*cells: str, python: PythonTool = tool) -> list[str]:
    """What each cell of one episode comes to."""
    state: dict[str, object] = {}
    return [python.run({"code": cell}, PROBLEM, state) for cell in cells]


def test_cells_share_names_and_show_their_last_value() -> None:
    cells = (
        "x = 6\nprint('a')\nx",
        "def f(n):\n    return n + x",
        "f(1)",
        "x = f(x)",
        "print(x); None",
        "y",
        "x += 1\nx",
    )
    error = (
        "Traceback (most recent call last):\n  File \"cell\", line 1, in <module>\nNameError: name 'y' is not defined"
    )
    assert outputs(*cells) == ["a\n6", "", "7", "", "12", error, "13"]


@pytest.mark.parametrize(
    ("cell", "end"),
    [
        ("1/0", "ZeroDivisionError: division by zero"),
        ("1 +", "SyntaxError: invalid syntax"),
        ("import os\nos.fork()", "PermissionError: os.fork is not allowed here"),
        ("import socket\nsocket.create_connection(('192.0.2.1', 80))", "PermissionError"),
        ("open('secret', 'w')", "PermissionError"),
        ("'a' * 10**10", "MemoryError"),
        ("raise SystemExit(3)", ""),
        ("input()", "EOFError"),
        ("import os\nos._exit(3)", "error: the program was ended; it may use 4 seconds of CPU and 1024 MB"),
        ("while True:\n    print('a' * 1000)", "error: more than 1048576 bytes were printed"),
    ],
)
def test_a_cell_that_does_harm_is_text_and_the_session_goes_on(cell: str, end: str) -> None:
    first, harm, after = outputs("x = 3", cell, "x")
    assert (first, after) == ("", "3")
    assert end in harm
    assert len(harm) < 1 << 21


@dataclass
class Scripted:
    """A sandbox that answers as it is told, and keeps the jobs."""

    reply: Reply
    jobs: list[Job] = field(default_factory=list)

    def check(self) -> None:
        return

    def run(self, job: Job) -> Reply:
        self.jobs.append(job)
        return self.reply


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply(Reason.WRONG, seconds=10.0), "error: no end within 10 seconds"),
        (
            Reply(Reason.WRONG, b"so far", 1.0),
            "error: the program was ended; it may use 4 seconds of CPU and 1024 MB\nso far",
        ),
        (Reply(Reason.TIMEOUT), "error: the sandbox could not run the program"),
        (Reply(Reason.ERROR), "error: the sandbox could not run the program"),
    ],
)
def test_why_a_program_was_ended_is_said_and_it_is_not_run_again(reply: Reply, text: str) -> None:
    sandbox = Scripted(reply)
    assert outputs("while True: pass", "1", python=PythonTool(sandbox)) == [text, text]
    assert [job.stdin for job in sandbox.jobs] == ['["while True: pass"]', '["1"]']


def test_a_policy_computes_in_an_episode_and_the_record_replays() -> None:
    mdp = make_mdp("Chain", size=2, tools=[tool], max_tokens=20_000)
    turns = ("<python>\nx = 2 * (3 + 4)\n</python>", "<python>print('7' * 10_000)</python>", "#### 14")
    tokens = [token for turn in turns for token in (*mdp.tokenizer.encode(turn), mdp.end_id)]
    whole = mdp.trajectory(0, Completion.unsampled(np.array(tokens), "eos"))
    text = mdp.tokenizer.decode(whole.tokens[whole.roles == Role.ENVIRONMENT].tolist())
    shown = f"{'7' * MAX_CHARACTERS}\n[{10_000 - MAX_CHARACTERS} more characters are left out]"
    assert text == f"\n<output></output>\n\n<output>{shown}</output>\n"
    reasonenv.replay(whole, ReasoningEnv(mdp, "step"))


class OlderKernel(ProcessSandbox):
    """As on Linux before 5.13."""

    def __init__(self, unfenced: bool = False) -> None:
        super().__init__(unfenced, landlock=0)


def test_a_python_tool_with_limits_of_its_own_is_an_object_of_a_file() -> None:
    mdp = make_mdp("Chain", size=2, tools=f"{__file__}:brief")
    assert mdp.tools is not None
    assert mdp.tools.tools["python"].run.__self__.seconds == brief.seconds == 1  # type: ignore[attr-defined]


def test_where_programs_cannot_be_restricted_none_is_run() -> None:
    with pytest.raises(reasonenv.UserError, match="would not be kept from reading files"):
        make_mdp("Chain", size=2, tools=f"python:{__file__}:OlderKernel")
    assert outputs("1 + 1", python=PythonTool(OlderKernel(unfenced=True))) == ["2"]
