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
from reasonenv.tasks import Task
from reasonenv.verify.grade import grade, grade_many
from reasonenv.version import VERSION

if TYPE_CHECKING:
    from reasonenv.mdp.env import replay
    from reasonenv.mdp.replies import register_reply
    from reasonenv.mdp.tools import register_tool

__version__ = VERSION
__all__ = [
    "Batch",
    "Completion",
    "Group",
    "Problem",
    "Reason",
    "Role",
    "Task",
    "Trajectory",
    "UserError",
    "Verdict",
    "from_problems",
    "grade",
    "grade_many",
    "register_agent",
    "register_reply",
    "register_task",
    "register_tool",
    "replay",
]

register_all()


# Names of modules that load more than importing the package may.
_LATE = {"replay": "mdp.env", "register_reply": "mdp.replies", "register_tool": "mdp.tools"}


def __getattr__(name: str) -> Any:
    if name in _LATE:
        return getattr(import_module(f"reasonenv.{_LATE[name]}"), name)
    raise AttributeError(f"module 'reasonenv' has no attribute {name!r}")
