"""Gymnasium for LLM reasoning: verifiable problems as Markov decision processes, and the agents that learn on them.

Importing this package registers the environments with Gymnasium and loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reasonenv.catalog import register_agent, register_all, register_task
from reasonenv.core import Batch, Completion, Group, Problem, Reason, Role, Trajectory, Verdict
from reasonenv.data.from_problems import from_problems
from reasonenv.errors import UserError
from reasonenv.mdp.rewards import register_reward
from reasonenv.tasks import Task
from reasonenv.verify.grade import grade, grade_many
from reasonenv.version import VERSION

if TYPE_CHECKING:
    from reasonenv.mdp.env import replay

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
    "register_reward",
    "register_task",
    "replay",
]

register_all()


def __getattr__(name: str) -> Any:
    if name == "replay":
        from reasonenv.mdp.env import replay

        return replay
    raise AttributeError(f"module 'reasonenv' has no attribute {name!r}")
