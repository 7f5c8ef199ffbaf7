"""From the keyword arguments of `gymnasium.make` to an environment: resolve the task, the tokenizer, then build."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import gymnasium

from reasonenv.catalog import check_keys, parse_env_id
from reasonenv.data.procedural import TooFewQuestions
from reasonenv.data.shared_tasks import shared_task
from reasonenv.errors import UserError
from reasonenv.mdp.config import ENV_KEYS, divided
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.vector import BatchedReasoningEnv
from reasonenv.tasks import Task
from reasonenv.tokenizer import Tokenizer, byte_tokenizer, stated_ends

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


TaskLike = str | Callable[..., Task]  # the name of a task, or a factory of tasks
TokenizerLike: TypeAlias = "Tokenizer | PreTrainedTokenizerBase | str | None"


@lru_cache(maxsize=4)
def _named_tokenizer(name: str) -> Tokenizer:
    if name == "tiny":
        return byte_tokenizer()
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig

    try:
        tokenizer = Tokenizer(AutoTokenizer.from_pretrained(name, trust_remote_code=False))
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        reason = str(error).splitlines()[0]
        raise UserError(f"tokenizer {name!r} is neither tiny, a tokenizer's folder, nor a hub id ({reason})") from error
    with contextlib.suppress(OSError, ValueError):  # a tokenizer may lie without a model
        config = AutoConfig.from_pretrained(name)
        generation = GenerationConfig.from_model_config(config)
        with contextlib.suppress(OSError):
            generation = GenerationConfig.from_pretrained(name)
        tokenizer = tokenizer.with_ends(stated_ends(generation, config))
    return tokenizer


def resolve_tokenizer(tokenizer: TokenizerLike) -> Tokenizer:
    """A `Tokenizer` from one, from a Hugging Face one, from a name or path; None is the byte tokenizer of `tiny`."""
    if isinstance(tokenizer, Tokenizer):
        return tokenizer
    if tokenizer is None or isinstance(tokenizer, str):
        return _named_tokenizer(tokenizer or "tiny")
    return _wrapped(tokenizer, _state(tokenizer))


def _state(tokenizer: PreTrainedTokenizerBase) -> str:
    """All that a Hugging Face tokenizer is now: its owner may change it, and then it makes other tokens."""
    settings = {name: value for name, value in vars(tokenizer).items() if name != "_tokenizer"}
    return f"{tokenizer.backend_tokenizer.to_str()}{settings}"


@lru_cache(maxsize=4)
def _wrapped(tokenizer: PreTrainedTokenizerBase, state: str) -> Tokenizer:
    """The same `Tokenizer` for a Hugging Face one as long as its `state` is the same."""
    return Tokenizer(tokenizer)


def make_mdp(task: TaskLike, *, tokenizer: TokenizerLike = None, **keys: Any) -> ReasoningMDP:
    """The process of a registered task, or of a factory of tasks.

    `keys` are the fields of `EnvConfig`, and the keys of the task (`split`, `data`, `operands`, ...). Raises
    `UserError` for an unknown one, and for a value that cannot be.
    """
    config, keys = divided(keys)
    check_keys(task, keys, others=("tokenizer", *ENV_KEYS))
    return ReasoningMDP(shared_task(task, **keys), resolve_tokenizer(tokenizer), config)


def held_out_keys(task: TaskLike, keys: Mapping[str, Any]) -> dict[str, Any]:
    """`keys` for the test split: `size` problems as in training, or all that there are where they are fewer."""
    keys = {**keys, "split": "test"}
    if keys.get("size") is None:
        return keys
    try:
        list(shared_task(task, **divided(keys)[1]).problems)
    except TooFewQuestions as error:
        keys["size"] = error.count
    return keys


def make_env(task: TaskLike, granularity: str, *, render_mode: str | None = None, **keys: Any) -> ReasoningEnv:
    """Entry point of `gymnasium.make`."""
    return ReasoningEnv(make_mdp(task, **keys), granularity, render_mode=render_mode)


make_env.metadata = ReasoningEnv.metadata  # type: ignore[attr-defined]  # where Gymnasium looks for render modes


def make(env_id: str, *, render_mode: str | None = None, **keys: Any) -> ReasoningEnv:
    """The environment with this id, as `gymnasium.make(env_id, **keys).unwrapped`, and typed: it has `mdp`.

    An id may be written without its `reasonenv/`, and as `file.py:id` where a file registers it. `keys` are those of
    `make_mdp`. Raises `UserError` for an unknown id or key, and for a value that cannot be.
    """
    task, granularity = parse_env_id(env_id)
    known = f"reasonenv/{task}-{granularity.capitalize()}-v0"
    env = gymnasium.make(known, render_mode=render_mode, **keys).unwrapped
    assert isinstance(env, ReasoningEnv)  # as it is registered
    return env


def make_vector_env(
    task: str,
    granularity: str,
    *,
    num_envs: int = 1,
    group_size: int = 1,
    autoreset_mode: Any = None,
    copy: bool = True,
    **keys: Any,
) -> BatchedReasoningEnv:
    """Entry point of `gymnasium.make_vec(..., vectorization_mode="vector_entry_point")`."""
    mdp = make_mdp(task, **keys)
    return BatchedReasoningEnv(
        mdp, granularity, num_envs, group_size=group_size, autoreset_mode=autoreset_mode, copy=copy
    )
