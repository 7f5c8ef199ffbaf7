"""Gymnasium for LLM reasoning: verifiable problems as Markov decision processes, and the agents that learn on them.

Importing this package registers the environments with Gymnasium and loads nothing heavy.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from reasonenv.catalog import register_agent, register_all, register_task
from reasonenv.core import Batch, Completion, Group, Problem, Reason, Role, Trajectory, Verdict
from reasonenv.data.from_problems import from_problems
from reasonenv.errors import UserError
from reasonenv.mdp.rewards import register_reward
from reasonenv.tasks import Task
from reasonenv.terminal import import_tqdm, is_notebook
from reasonenv.verify.grade import grade, grade_many
from reasonenv.version import VERSION

if TYPE_CHECKING:
    from reasonenv.learn.observer import Observer
    from reasonenv.mdp.env import ReasoningEnv, replay
    from reasonenv.mdp.make import make
    from reasonenv.mdp.replies import register_reply
    from reasonenv.mdp.tools import register_tool
    from reasonenv.policy.pretrained import load_policy
    from reasonenv.report import report
    from reasonenv.run import Run, evaluate, explain, load_run, train

__version__ = VERSION
__all__ = [
    "Batch",
    "Completion",
    "Group",
    "Observer",
    "Problem",
    "Reason",
    "ReasoningEnv",
    "Role",
    "Run",
    "Task",
    "Trajectory",
    "UserError",
    "Verdict",
    "evaluate",
    "explain",
    "from_problems",
    "grade",
    "grade_many",
    "load_policy",
    "load_run",
    "make",
    "register_agent",
    "register_reply",
    "register_reward",
    "register_task",
    "register_tool",
    "replay",
    "report",
    "train",
]
# What is imported when it is first asked for: names and their modules.
LATE = {
    "Observer": "reasonenv.learn.observer",
    "ReasoningEnv": "reasonenv.mdp.env",
    "Run": "reasonenv.run",
    "evaluate": "reasonenv.run",
    "explain": "reasonenv.run",
    "load_policy": "reasonenv.policy.pretrained",
    "load_run": "reasonenv.run",
    "make": "reasonenv.mdp.make",
    "register_reply": "reasonenv.mdp.replies",
    "register_tool": "reasonenv.mdp.tools",
    "replay": "reasonenv.mdp.env",
    "train": "reasonenv.run",
}

register_all()
if is_notebook():
    import_tqdm()  # before another package does, whose import would warn


def __getattr__(name: str) -> Any:
    if name == "report":
        return import_module("reasonenv.report")  # a package that can be called
    if name in LATE:
        return getattr(import_module(LATE[name]), name)
    raise AttributeError(f"module 'reasonenv' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *LATE, "report"]
