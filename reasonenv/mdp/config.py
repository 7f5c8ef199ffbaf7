"""What every environment takes beside the keys of its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from reasonenv.annotations import check_type, types_of
from reasonenv.errors import unknown
from reasonenv.mdp.dynamics import DYNAMICS
from reasonenv.mdp.rewards import REWARDS, Reward
from reasonenv.tasks import PROMPTS


@dataclass(frozen=True)
class EnvConfig:
    """The settings of the process that are not its task's. Raises `UserError` for a value of another type."""

    reward: Reward = field(default="sparse", metadata={"meaning": ", ".join(REWARDS)})
    max_tokens: int | None = field(
        default=None, metadata={"meaning": "budget of a response (none: what suits the task)"}
    )
    prompt: str = field(default="auto", metadata={"meaning": ", ".join(PROMPTS)})
    stochastic: str | None = field(
        default=None, metadata={"meaning": f"NAME:STRENGTH of {', '.join(DYNAMICS)} (none: nothing is random)"}
    )

    def __post_init__(self) -> None:
        for key, annotation in ENV_TYPES.items():
            check_type(key, getattr(self, key), annotation)
        if self.prompt not in PROMPTS:
            raise unknown("prompt", self.prompt, PROMPTS)


ENV_TYPES: Mapping[str, Any] = types_of(EnvConfig)  # by name; what reads keywords or a command line reads these


def divided(knobs: Mapping[str, Any]) -> tuple[EnvConfig, dict[str, Any]]:
    """The settings of the process among `knobs`, and the others: the keys of the task."""
    config = EnvConfig(**{key: value for key, value in knobs.items() if key in ENV_TYPES})
    return config, {key: value for key, value in knobs.items() if key not in ENV_TYPES}
