"""The goals of a return-conditioned policy: texts that it reads before every step that it writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from reasonenv.errors import UserError
from reasonenv.storage import read_record

FILE = "goals.json"  # beside the weights


@dataclass(frozen=True)
class Goals:
    """The goal that a policy is conditioned on, and its negation.

    A policy that answers as well behind the negated goal has not learned what its goals mean (2403.04642).
    """

    goal: str = "[GOOD]"
    negated_goal: str = "[BAD]"

    def negated(self) -> Goals:
        """The same two texts, conditioned on the other one."""
        return Goals(self.negated_goal, self.goal)

    def save(self, folder: Path) -> None:
        """Writes `folder/goals.json`, under the keys that it has always had."""
        (folder / FILE).write_text(json.dumps({"asked": self.goal, "contrary": self.negated_goal}, indent=1))


def load_goals(folder: Path) -> Goals | None:
    """The goals stored in a policy's folder; None if it is not conditioned. Raises `UserError` if they are broken."""
    path = folder / FILE
    if not path.is_file():
        return None
    record = read_record(path)
    goal, negated = record.get("asked"), record.get("contrary")
    if not isinstance(goal, str) or not isinstance(negated, str):
        raise UserError(f"{path} is no pair of goals ({goal!r}, {negated!r}); save the policy again")
    return Goals(goal, negated)
