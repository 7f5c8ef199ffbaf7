"""What every environment takes beside the keys of its task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from reasonenv.mdp.dynamics import DYNAMICS
from reasonenv.mdp.replies import REPLIES
from reasonenv.mdp.rewards import REWARDS, Reward
from reasonenv.mdp.specs import Several
from reasonenv.mdp.tools import TOOLS
from reasonenv.settings import record, setting


@record
class EnvConfig:
    """The settings of the process that are not its task's."""

    reward: Reward = setting("sparse", ", ".join(REWARDS))
    max_tokens: int | None = setting(None, "budget of a response (none: what suits the task)")
    prompt: Literal["auto", "chat", "few_shot", "plain"] = setting("auto", "auto, chat, few_shot, plain")
    replies: Several = setting(None, f"what the environment says to a turn: {', '.join(REPLIES)} (joined by +)")
    tools: Several = setting(None, f"what the policy may call: {', '.join(TOOLS)} (joined by +)")
    stochastic: str | None = setting(None, f"NAME:STRENGTH of {', '.join(DYNAMICS)} (joined by +)")


ENV_KEYS = tuple(f.name for f in fields(EnvConfig))


def divided(keys: Mapping[str, Any]) -> tuple[EnvConfig, dict[str, Any]]:
    """The settings of the process among `keys`, and the others: those of the task."""
    config = EnvConfig(**{key: value for key, value in keys.items() if key in ENV_KEYS})
    return config, {key: value for key, value in keys.items() if key not in ENV_KEYS}
