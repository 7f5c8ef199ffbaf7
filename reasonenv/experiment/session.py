"""From settings to the objects that run: policy, sampler, processes, method, evaluator. Each is built once, here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reasonenv.catalog import find_agent
from reasonenv.core import Group
from reasonenv.experiment.config import PolicyConfig, RunConfig
from reasonenv.experiment.processes import processes
from reasonenv.experiment.searching import check_search, open_search
from reasonenv.experiment.token_records import RolloutRecorder
from reasonenv.learn.agent import Agent
from reasonenv.learn.curriculum import Curriculum
from reasonenv.learn.evaluation import SCORED_SAMPLES, GreedyEvaluator, HeldOut
from reasonenv.learn.judge import rewarded_by
from reasonenv.learn.method import Method
from reasonenv.policy.checkpointing import checkpoint_layers
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.lora import add_adapter
from reasonenv.policy.pretrained import load_policy
from reasonenv.policy.value_head import load_scorer, scorer_folder
from reasonenv.sampling import check_sampler, make_sampler
from reasonenv.sampling.sampler import Sampler


def load(config: PolicyConfig) -> HFPolicy:
    """The policy of the settings as it is stored."""
    return load_policy(config.policy, seed=config.seed, device=config.device, dtype=config.dtype)


def open_policy(config: PolicyConfig) -> HFPolicy:
    """The policy of the settings, with a fresh adapter and gradient checkpointing where they say so."""
    policy = load(config)
    if config.lora is not None:
        add_adapter(policy, config.lora, seed=config.seed)
    if config.checkpointing:
        checkpoint_layers(policy)
    return policy


@dataclass(frozen=True)
class Session:
    """All that a run works with."""

    config: RunConfig  # with the folders of policies and reward models in place of their names in a suite
    out: Path
    policy: HFPolicy
    sampler: Sampler  # of the policy, without goals
    curriculum: Curriculum  # trained on
    held_out: HeldOut  # measured on
    method: Method
    evaluator: GreedyEvaluator
    recorder: RolloutRecorder
    rescore: Callable[[Sequence[Group]], list[Group]] | None  # rewards by a reward model

    def settled(self, config: RunConfig) -> RunConfig:
        """The settings with those that the policy or the task decides; see `claim.py`."""
        dtype: Any = str(self.policy.model.dtype).removeprefix("torch.")
        return replace(config, dtype=dtype, env_keys={**config.env_keys, "max_tokens": self.held_out.mdp.max_tokens})


def build(config: RunConfig, out: Path, *, places: Mapping[str, Path] = MappingProxyType({})) -> Session:
    """The objects of a run in the folder `out`, in which nothing is written yet. Its `sampler` is to be closed.

    `places` says where the policies and reward models are that the run does not call by a name to be found. Raises
    `UserError` for whatever does not go together.
    """
    settings = _located(config, places)
    check_sampler(settings.sampler, settings.address)
    for name in filter(None, (settings.orm, settings.rank)):
        scorer_folder(name)
    policy = open_policy(settings)
    curriculum, mdp = processes(config, policy.tokenizer)
    for process in (*curriculum.levels, mdp):
        process.fits(policy.context, name=config.policy)
    method: Method = find_agent(settings.agent)(policy, settings.agent_config, seed=settings.seed)
    if settings.search is not None:
        check_search(settings, *curriculum.levels, mdp)
        method.searching = open_search(settings, policy, training=isinstance(method, Agent))
    size = method.tokens_per_microbatch
    rescore = None
    if settings.orm is not None:
        placement = str(settings.env_keys.get("reward", "sparse"))
        scorer = load_scorer(settings.orm, policy)
        rescore = partial(rewarded_by, scorer, placement=placement, tokens_per_microbatch=size)
    sampler = make_sampler(settings.sampler, policy, address=settings.address)
    problems = range(min(settings.eval_problems, len(mdp.task.problems)))
    samples = settings.eval_samples or SCORED_SAMPLES
    held_out = HeldOut(sampler, mdp, out / "evaluations", problems, settings.seed, samples)
    return Session(
        config=settings,
        out=out,
        policy=policy,
        sampler=sampler,
        curriculum=curriculum,
        held_out=held_out,
        method=method,
        evaluator=method.evaluator(held_out),
        recorder=RolloutRecorder(out, policy, interval=settings.eval_every, tokens_per_microbatch=size),
        rescore=rescore,
    )


def _located(config: RunConfig, places: Mapping[str, Path]) -> RunConfig:
    """The settings with the folders of policies and reward models in place of their names."""
    folders = {name: str(path) for name, path in places.items()}
    return replace(
        config,
        policy=folders.get(config.policy, config.policy),
        orm=folders.get(config.orm, config.orm) if config.orm else None,
        rank=folders.get(config.rank, config.rank) if config.rank else None,
        search_value=folders.get(config.search_value, config.search_value) if config.search_value else None,
        agent_keys={key: folders.get(value, value) for key, value in config.agent_keys.items()},
    )
