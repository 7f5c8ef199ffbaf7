"""The tasks and agents that there are, and the ids of their environments."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from functools import partial
from typing import Any

import gymnasium

from reasonenv.errors import UnknownArgument, UserError, unknown
from reasonenv.reasoning_gym_names import NAMES
from reasonenv.registry import Registry, admit, import_named, load, module_name
from reasonenv.settings import Setting, settings_of
from reasonenv.tasks import Task

GRANULARITIES = ("Token", "Step", "Response")


def _check_agent(name: str, agent: Any) -> None:
    config = getattr(agent, "Config", None)
    if not isinstance(config, type) or not is_dataclass(config):
        raise UserError(
            f"agent {name!r} is {agent!r}; it must be a class derived from reasonenv.learn.agent.Agent with a Config"
        )


TASKS = Registry[Callable[..., Task]](
    "task",
    "reasonenv.envs",
    {
        "AIME": "reasonenv.envs.competition:aime",
        "AIME2025": "reasonenv.envs.competition:aime2025",
        "AIME2026": "reasonenv.envs.competition:aime2026",
        "AMC23": "reasonenv.envs.competition:amc23",
        "ARC": "reasonenv.envs.arc:arc",
        "ASDiv": "reasonenv.envs.asdiv:asdiv",
        "Chain": "reasonenv.envs.chain:chain",
        "Code": "reasonenv.envs.programming:code",
        "Countdown": "reasonenv.envs.countdown:countdown",
        "GSM8K": "reasonenv.envs.gsm8k:gsm8k",
        "GSMSymbolic": "reasonenv.envs.gsm_symbolic:gsm_symbolic",
        "HumanEval": "reasonenv.envs.programming:humaneval",
        "MATH": "reasonenv.envs.competition:math",
        "MATH500": "reasonenv.envs.competition:math500",
        "MBPP": "reasonenv.envs.programming:mbpp",
        "Minerva": "reasonenv.envs.competition:minerva",
        "MultiArith": "reasonenv.envs.multiarith:multiarith",
        "OlympiadBench": "reasonenv.envs.olympiad:olympiadbench",
        "SVAMP": "reasonenv.envs.svamp:svamp",
    },
)
AGENTS = Registry[Any](
    "agent",
    "reasonenv.agents",
    {
        "sft": "reasonenv.agents.sft:SFT",
        "ei": "reasonenv.agents.ei:ExpertIteration",
        "ppo": "reasonenv.agents.ppo:PPO",
        "best_of_n": "reasonenv.agents.best_of_n:BestOfN",
        "rcrl": "reasonenv.agents.rcrl:ReturnConditioned",
        "orm": "reasonenv.agents.orm:OutcomeRewardModel",
        "random_tokens": "reasonenv.agents.random_tokens:RandomTokens",
        "majority": "reasonenv.agents.majority:Majority",
        "best_of_k": "reasonenv.agents.best_of_k:BestOfK",
        "searched": "reasonenv.agents.searched:Searched",
        "grpo": "reasonenv.agents.grpo:GRPO",
        "grpo_process": "reasonenv.agents.grpo_process:GRPOProcess",
        "dr_grpo": "reasonenv.agents.dr_grpo:DrGRPO",
        "dapo": "reasonenv.agents.dapo:DAPO",
        "cispo": "reasonenv.agents.cispo:CISPO",
        "dppo": "reasonenv.agents.dppo:DPPO",
        "gspo": "reasonenv.agents.gspo:GSPO",
        "maxrl": "reasonenv.agents.maxrl:MaxRL",
        "tailrl": "reasonenv.agents.tailrl:TailRL",
        "reinforce": "reasonenv.agents.reinforce:Reinforce",
        "rloo": "reasonenv.agents.rloo:RLOO",
        "tree": "reasonenv.agents.tree:Tree",
        "reinforce_pp": "reasonenv.agents.reinforce_pp:ReinforcePP",
        "reinforce_pp_baseline": "reasonenv.agents.reinforce_pp_baseline:ReinforcePPBaseline",
        "scalerl": "reasonenv.agents.scalerl:ScaleRL",
    },
    _check_agent,
)


def register_task(name: str, entry_point: str | Callable[..., Task]) -> None:
    """Makes `reasonenv/<name>-Token-v0`, `-Step-v0` and `-Response-v0` of a factory of tasks, or of its `module:name`.

    The factory takes keyword arguments (`split=` among them) and returns a `Task`.
    """
    TASKS.register(name, entry_point)
    _register_environments(name)


def _register_environments(name: str) -> None:
    for granularity in GRANULARITIES:
        env_id = f"reasonenv/{name}-{granularity}-v0"
        if env_id not in gymnasium.registry:  # the ids of a name are the same whatever task has it
            gymnasium.register(
                id=env_id,
                entry_point="reasonenv.mdp.make:make_env",
                vector_entry_point="reasonenv.mdp.make:make_vector_env",
                kwargs={"task": name, "granularity": granularity.lower()},
            )


def register_agent(name: str, entry_point: str | type) -> None:
    """Makes `reasonenv train <name>` of a class derived from `reasonenv.learn.agent.Agent`, or of its `module:name`."""
    AGENTS.register(name, entry_point)


def register_all() -> None:
    """Registers the built-in tasks, and those of installed plug-ins, with Gymnasium. Imports none."""
    if importlib.util.find_spec("reasoning_gym"):
        for name in NAMES:
            TASKS.register(f"RG-{name}", f"reasonenv.envs.rg:{name}")
    for name in TASKS:
        _register_environments(name)


def environment_module(env_id: str) -> str | None:
    """The module that an id such as `file.py:reasonenv/Own-Step-v0` names, in `sys.modules`; None if it names none."""
    module, colon, _ = env_id.rpartition(":")
    return module_name(module) if colon else None


def task_name(text: str) -> str:
    """The name of a task, from that or from the id of one of its environments."""
    return parse_env_id(text)[0] if re.search(r"-v[0-9]+$", text) else text


def find_agent(name: str) -> Any:
    """The agent class called `name`, or at `module:name`."""
    return AGENTS.find(name)


def names_agent(text: str) -> bool:
    """Whether a name, or `module:name`, means an agent and no task. Loads what a `module:name` means."""
    if ":" not in text:
        return text in AGENTS
    if re.search(r"-v[0-9]+$", text):
        return False
    admit(text)
    return isinstance(load(text), type)


def agent_summary(name: str) -> str:
    """The first line of an agent's docstring."""
    return (find_agent(name).__doc__ or "").strip().partition("\n")[0]


def task_factory(name: str | Callable[..., Task]) -> Callable[..., Task]:
    """The factory of the task called `name`, or at `module:name`, or `name` itself."""
    return TASKS.find(name) if isinstance(name, str) else name


def task_settings(name: str | Callable[..., Task]) -> dict[str, Setting]:
    """The keyword arguments that a task takes."""
    return settings_of(task_factory(name))


def make_task(name: str | Callable[..., Task], **keys: Any) -> Task:
    """The task called `name`, or at `module:name`, or of a factory, made with `keys`.

    Raises `UserError` for an unknown key, with the nearest, and for a value of another type.
    """
    check_keys(name, keys)
    task = task_factory(name)(**keys)
    if isinstance(task, Task):
        object.__setattr__(task, "remake", partial(make_task, name, **keys))
    return task


def check_keys(name: str | Callable[..., Task], keys: Mapping[str, Any], others: Iterable[str] = ()) -> None:
    """Raises `UserError` for a key that the task does not take, or whose value is of another type.

    `others` are the names that the caller knows beside the task's.
    """
    settings = task_settings(name)
    for key, value in keys.items():
        if key not in settings:
            error = unknown(f"key of {name}", key, (*settings, *others))
            raise UnknownArgument(f"unexpected keyword argument {key!r}: {error}")  # TorchRL looks for these words
        settings[key].check(value)


def parse_env_id(env_id: str) -> tuple[str, str]:
    """(task, granularity) of an id such as `reasonenv/Chain-Step-v0`; the prefix may be left out.

    `module:id` and `file.py:id` import first what registers the task, as `gymnasium.make` does. Raises `UserError` with
    the nearest ids for an unknown one.
    """
    module, colon, name = env_id.rpartition(":")
    if colon:
        admit(env_id)
        import_named(module, env_id)
    short = name.removeprefix("reasonenv/")
    if short in TASKS:
        raise UserError(f"{env_id!r} is a task; give an environment of it, such as reasonenv/{short}-Response-v0")
    ids = environment_ids()
    if f"reasonenv/{short}" not in ids:
        raise unknown("environment", env_id, ids)
    return ids[f"reasonenv/{short}"]


def environment_ids() -> dict[str, tuple[str, str]]:
    """Every id with its task and granularity, in the order of the alphabet."""
    ids = {}
    for task in sorted(TASKS):
        for granularity in GRANULARITIES:
            ids[f"reasonenv/{task}-{granularity}-v0"] = task, granularity.lower()
    return ids
