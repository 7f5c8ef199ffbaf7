"""Names to things. Built-in tasks and agents are strings here, so that importing the package imports none of them.

A third-party package adds its own through the entry-point groups `reasonenv.envs` and `reasonenv.agents`, a script
through `register_task` and `register_agent`, and a command line through `module:name` and `file.py:name`.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium

from reasonenv.annotations import check_type, types_of
from reasonenv.errors import UnknownArgument, UserError, unknown
from reasonenv.reasoning_gym_names import NAMES
from reasonenv.sources import PACKAGE, SourceLoader, compile_from_source
from reasonenv.tasks import Task

GRANULARITIES = ("Token", "Step", "Response")

_TASKS: dict[str, str | Callable[..., Task]] = {
    "AIME": "reasonenv.envs.competition:aime",
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
    "MultiArith": "reasonenv.envs.multiarith:multiarith",
    "SVAMP": "reasonenv.envs.svamp:svamp",
}
_AGENTS: dict[str, str | type] = {
    "sft": "reasonenv.agents.sft:SFT",
    "ei": "reasonenv.agents.ei:ExpertIteration",
    "ppo": "reasonenv.agents.ppo:PPO",
    "rcrl": "reasonenv.agents.rcrl:ReturnConditioned",
    "orm": "reasonenv.agents.orm:OutcomeRewardModel",
    "random_tokens": "reasonenv.agents.random_tokens:RandomTokens",
    "majority": "reasonenv.agents.majority:Majority",
    "best_of_k": "reasonenv.agents.best_of_k:BestOfK",
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
    "reinforce_pp": "reasonenv.agents.reinforce_pp:ReinforcePP",
    "reinforce_pp_baseline": "reasonenv.agents.reinforce_pp_baseline:ReinforcePPBaseline",
    "scalerl": "reasonenv.agents.scalerl:ScaleRL",
}

_NAMED: set[str] = set()  # modules that were loaded for what a name such as `module:name` means


def register_task(name: str, entry_point: str | Callable[..., Task]) -> None:
    """Makes `reasonenv/<name>-Token-v0`, `-Step-v0` and `-Response-v0` of a factory of tasks, or of its `module:name`.

    The factory takes keyword arguments (`split=` among them) and returns a `Task`.
    """
    _TASKS[name] = entry_point
    for granularity in GRANULARITIES:
        gymnasium.register(
            id=f"reasonenv/{name}-{granularity}-v0",
            entry_point="reasonenv.mdp.make:make_env",
            vector_entry_point="reasonenv.mdp.make:make_vector_env",
            kwargs={"task": name, "granularity": granularity.lower()},
        )


def register_agent(name: str, entry_point: str | type) -> None:
    """Makes `reasonenv train <name>` of a class derived from `reasonenv.learn.agent.Agent`, or of its `module:name`."""
    _AGENTS[name] = entry_point


def register_all() -> None:
    """Registers the built-in tasks with Gymnasium, and the tasks and agents of installed plug-ins. Imports none."""
    for plugin in entry_points(group="reasonenv.envs"):
        _TASKS.setdefault(plugin.name, plugin.value)
    for plugin in entry_points(group="reasonenv.agents"):
        _AGENTS.setdefault(plugin.name, plugin.value)
    if importlib.util.find_spec("reasoning_gym"):
        _TASKS.update({f"RG-{name}": f"reasonenv.envs.rg:{name}" for name in NAMES})
    for name, entry_point in list(_TASKS.items()):
        register_task(name, entry_point)


def tasks() -> list[str]:
    """The names of all tasks."""
    return sorted(_TASKS)


def agents() -> list[str]:
    """The names of all agents."""
    return sorted(_AGENTS)


def load(reference: str) -> Any:
    """The object at `module:name`; `file.py:name` reads a user's own file. Raises `UserError` if it is not there."""
    module, _, name = reference.rpartition(":")
    loaded = _module(module, reference)
    if not hasattr(loaded, name):
        raise unknown(f"name in {module!r}", name, (n for n in vars(loaded) if not n.startswith("_")))
    return getattr(loaded, name)


def _module_name(module: str) -> str:
    """The name in `sys.modules` of the `module` of a reference."""
    return str(Path(module).resolve()) if module.endswith(".py") else module


def named_modules() -> frozenset[str]:
    """The modules, in `sys.modules`, that this process has loaded because the name of an agent or a task names them."""
    return frozenset(_NAMED & sys.modules.keys())


def agent_module(name: str) -> str | None:
    """The module that an agent's name names, in `sys.modules`; None for a class that a program has registered."""
    entry_point = name if ":" in name else _AGENTS.get(name)
    return _module_name(entry_point.rpartition(":")[0]) if isinstance(entry_point, str) else None


def environment_module(env_id: str) -> str | None:
    """The module that an id such as `file.py:reasonenv/Own-Step-v0` names, in `sys.modules`; None if it names none."""
    module, colon, _ = env_id.rpartition(":")
    return _module_name(module) if colon else None


def _module(module: str, reference: str) -> ModuleType:
    if not module or module.startswith("."):
        raise UserError(f"{reference!r} names no module; write module:name or file.py:name")
    if module.partition(".")[0] != PACKAGE:
        compile_from_source()
    _NAMED.add(_module_name(module))
    try:
        return _file(Path(_module_name(module))) if module.endswith(".py") else importlib.import_module(module)
    except (ImportError, SyntaxError) as error:
        raise UserError(f"cannot import {module!r} of {reference!r}: {error}") from error
    except UserError:
        raise
    except Exception as error:  # of the user's own code, which runs when it is imported
        raise UserError(f"cannot import {module!r} of {reference!r}: {type(error).__name__}: {error}") from error


def _file(path: Path) -> ModuleType:
    """A user's own file as a module. Its name is its path, so that a `math.py` stands in for nothing."""
    name = str(path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, loader=SourceLoader(name, name))
    if spec is None or spec.loader is None or not path.is_file():
        raise UserError(f"there is no file {name}")
    loaded = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(loaded)
    except BaseException:
        del sys.modules[name]
        raise
    return loaded


def find_agent(name: str) -> Any:
    """The agent class called `name`, or at `module:name`."""
    if ":" not in name and name not in _AGENTS:
        raise unknown("agent", name, _AGENTS)
    entry_point = name if ":" in name else _AGENTS[name]
    agent = load(entry_point) if isinstance(entry_point, str) else entry_point
    if not hasattr(agent, "Config"):
        raise UserError(f"agent {name!r} is {agent!r}; it must be a class derived from reasonenv.learn.agent.Agent")
    return agent


def task_factory(name: str | Callable[..., Task]) -> Callable[..., Task]:
    """The factory of the task called `name`, or at `module:name`, or `name` itself."""
    if not isinstance(name, str):
        return name
    if ":" not in name and name not in _TASKS:
        raise unknown("task", name, _TASKS)
    entry_point = name if ":" in name else _TASKS[name]
    factory: Callable[..., Task] = load(entry_point) if isinstance(entry_point, str) else entry_point
    return factory


def task_keys(name: str | Callable[..., Task]) -> dict[str, str]:
    """The keyword arguments that a task takes, with their types; one without annotation has that of its default."""
    return {
        p.name: annotation_text(type(p.default) if p.annotation is p.empty else p.annotation) for p in _parameters(name)
    }


def task_types(name: str | Callable[..., Task]) -> dict[str, Any]:
    """As `task_keys`, with the types themselves where they can be told."""
    types = types_of(task_factory(name))
    return {key: types.get(key, text) for key, text in task_keys(name).items()}


def task_defaults(name: str) -> dict[str, Any]:
    """The keyword arguments that a task can do without, with what it then takes."""
    return {p.name: p.default for p in _parameters(name) if p.default is not p.empty}


def _parameters(name: str | Callable[..., Task]) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(task_factory(name)).parameters.values() if p.kind is not p.VAR_KEYWORD]


def annotation_text(annotation: Any) -> str:
    """`int | None` of the type, or of the text that `from __future__ import annotations` makes of it."""
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def make_task(name: str | Callable[..., Task], **knobs: Any) -> Task:
    """The task called `name`, or at `module:name`, or of a factory, made with `knobs`.

    Raises `UserError` for an unknown knob, with the nearest, and for a value of another type.
    """
    check_keys(name, knobs)
    task = task_factory(name)(**knobs)
    if isinstance(task, Task):
        object.__setattr__(task, "remake", partial(make_task, name, **knobs))
    return task


def check_keys(name: str | Callable[..., Task], knobs: Mapping[str, Any], others: Iterable[str] = ()) -> None:
    """Raises `UserError` for a knob that the task does not take, or whose value is of another type.

    `others` are the names that the caller knows beside the task's.
    """
    types = task_types(name)
    for knob, value in knobs.items():
        if knob not in types:
            error = unknown(f"key of {name}", knob, (*types, *others))
            raise UnknownArgument(f"unexpected keyword argument {knob!r}: {error}")  # TorchRL looks for these words
        check_type(knob, value, types[knob])


def parse_env_id(env_id: str) -> tuple[str, str]:
    """(task, granularity) of an id such as `reasonenv/Chain-Step-v0`; the prefix may be left out.

    `module:id` and `file.py:id` import first what registers the task, as `gymnasium.make` does. Raises `UserError` with
    the nearest ids for an unknown one.
    """
    module, colon, own = env_id.rpartition(":")
    if colon:
        _module(module, env_id)
    ids = {f"{t}-{g}-v0": (t, g.lower()) for t in _TASKS for g in GRANULARITIES}
    short = own.removeprefix("reasonenv/")
    if short not in ids:
        raise unknown("environment", env_id, (f"reasonenv/{i}" for i in ids))
    return ids[short]
