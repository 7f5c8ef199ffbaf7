"""What a return-conditioned policy is asked for: a text before every step that it writes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from reasonenv.errors import UserError

FILE = "goals.json"  # beside the weights: whoever loads the policy asks it as it was trained


@dataclass(frozen=True)
class Goals:
    """The goal that is asked for, and its contrary, which shows whether the policy heeds goals at all (2403.04642)."""

    asked: str = "[GOOD]"
    contrary: str = "[BAD]"

    def reversed(self) -> Goals:
        """The same two, with the contrary asked for."""
        return Goals(self.contrary, self.asked)

    def save(self, folder: Path) -> None:
        """Writes `folder/goals.json`."""
        (folder / FILE).write_text(json.dumps(asdict(self), indent=1))


def load_goals(folder: Path) -> Goals | None:
    """The goals kept in a policy's folder; None for a policy that is not conditioned. Raises `UserError` if broken."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        return Goals(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is no pair of goals ({error}); save the policy again") from error
