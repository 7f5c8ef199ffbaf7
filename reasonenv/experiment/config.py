"""One run: its description, every setting that it has, and the processes that it trains and is measured on."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reasonenv.annotations import has_text_form, typed, types_of
from reasonenv.catalog import find_agent, make_task, parse_env_id, task_defaults, task_keys, task_types
from reasonenv.core import Problem
from reasonenv.errors import UserError, unknown
from reasonenv.experiment.validation import check_unseen, training_part, validation_part
from reasonenv.mdp.config import ENV_TYPES, EnvConfig, divided
from reasonenv.sampling import SAMPLERS
from reasonenv.sampling.sampler import KEYS, TRAINING
from reasonenv.tasks import HOLDOUTS, TEST, VALIDATION, Task

TaskName = str | Callable[..., Task]  # of a registered task, or its factory

if TYPE_CHECKING:
    from reasonenv.learn.curriculum import Curriculum
    from reasonenv.mdp.mdp import ReasoningMDP
    from reasonenv.tokenizer import Tokenizer


def _setting(default: Any, meaning: str) -> Any:
    return field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class Run:
    """Everything that decides a run's result. Two equal descriptions give the same weights, bit for bit, on one CPU."""

    agent: str
    env: str
    policy: str = "tiny"
    seed: int = 0
    iterations: int = 100
    agent_keys: Mapping[str, Any] = field(default_factory=dict)  # fields of the agent's Config
    env_keys: Mapping[str, Any] = field(default_factory=dict)  # keyword arguments of the environment
    eval_problems: int = _setting(200, "held-out problems: the first ones")
    holdout: str = _setting(TEST, f"what is held out: {TEST}, or {VALIDATION}, one in ten training questions")
    eval_samples: int = _setting(0, "sampled answers a held-out problem after the last iteration, for pass@k")
    base_samples: int = _setting(0, "samples a held-out problem, at most, that tell what the policy can solve")
    eval_every: int = _setting(10, "iterations between evaluations")
    curriculum: str | None = _setting(None, "KEY:VALUE,VALUE*COUNT,.. of the environment, in equal parts of the run")
    orm: str | None = _setting(None, "folder of a reward model; its score is the reward in place of the verdict")
    rank: str | None = _setting(None, "folder of a reward model that scores the sampled answers, for rerank@k")
    sampler: str = _setting("torch", f"who draws the responses: {' or '.join(SAMPLERS)}")
    address: str | None = _setting(None, "of a served vLLM (none: sampler=vllm starts an engine of its own)")
    lora: int | None = _setting(None, "rank of an adapter that is trained in place of the whole policy (needs peft)")
    checkpointing: bool = _setting(False, "layers are computed again in the backward pass: less memory, more time")
    device: str = _setting("cpu", "of the policy: cpu, cuda, ...")
    dtype: str | None = _setting(None, "of the policy (none: float32 for small ones, bfloat16 for pretrained ones)")

    def __post_init__(self) -> None:
        for name, least in {
            "iterations": 0,
            "eval_problems": 1,
            "eval_samples": 0,
            "base_samples": 0,
            "eval_every": 1,
            "lora": 1,
        }.items():
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.holdout not in HOLDOUTS:
            raise unknown("holdout", self.holdout, HOLDOUTS)
        if self.sampler not in SAMPLERS:
            raise unknown("sampler", self.sampler, SAMPLERS)


SETTINGS = (
    *("eval_problems", "holdout", "eval_samples", "base_samples", "eval_every", "curriculum", "orm", "rank"),
    *("sampler", "address", "lora", "checkpointing", "device", "dtype"),
)


def describe_run(agent: str, env: str, keys: Mapping[str, Any], **named: Any) -> Run:
    """Sorts `keys` into settings of the run, fields of the agent's Config and arguments of the environment.

    Values are strings or already typed. Raises `UserError` for an unknown key (with the nearest ones) or a bad value.
    """
    config = find_agent(agent).Config
    types = {key: annotation for key, annotation in types_of(Run).items() if key in SETTINGS}
    hints = types_of(config)
    agent_types = {f.name: hints.get(f.name, f.type) for f in fields(config)}
    env_types = _environment_types(parse_env_id(env)[0])
    env_types.pop("split", None)  # training takes train, evaluation takes test
    found: dict[str, dict[str, Any]] = {"run": {}, "agent": {}, "env": {}}
    for key, value in keys.items():
        for room, known in (("run", types), ("agent", agent_types), ("env", env_types)):
            if key in known:
                found[room][key] = typed(key, value, known[key])
                break
        else:
            if key in KEYS:
                raise UserError(f"{key} is {value}; {TRAINING}")
            raise unknown("key", key, {*types, *agent_types, *env_types})
    config(**found["agent"])  # refuses bad values now rather than after the policy is loaded
    run = Run(agent, env, agent_keys=found["agent"], env_keys=found["env"], **found["run"], **named)
    if run.orm is not None:
        _check_judged(run)
    return run


def _check_judged(run: Run) -> None:
    """Raises `UserError` if no reward model can reward this run."""
    from reasonenv.learn.judge import FALLS
    from reasonenv.learn.policy_gradient import PolicyGradient

    falls = run.env_keys.get("reward", "sparse")
    if falls not in FALLS:
        raise UserError(f"reward is {falls!r}; with orm= it must be one of {', '.join(FALLS)}")
    if not issubclass(find_agent(run.agent), PolicyGradient):
        raise UserError(f"{run.agent} does not learn from rewards, so orm= would change nothing; leave it out")


def explain_keys(agent: str, env: str | None) -> list[tuple[str, list[tuple[str, Any, str]]]]:
    """What may be set in a run of `agent` on `env`: sections of (key, default, meaning)."""
    numbers = [_explained(f) for f in fields(find_agent(agent).Config)]
    settings = [_explained(f) for f in fields(Run) if f.name in SETTINGS]
    sections = [(f"settings of {agent}", numbers), ("settings of the run", settings)]
    if env is not None:
        task, _ = parse_env_id(env)
        types, defaults = task_types(task), task_defaults(task)
        keys = [_explained(f) for f in fields(EnvConfig)]
        for key, text in task_keys(task).items():
            if key != "split" and has_text_form(types[key]):
                keys.append((key, defaults.get(key), text))
        sections.append((f"settings of {env}", keys))
    return sections


def resolved(run: Run) -> dict[str, Any]:
    """Every setting of a run with its value, defaults included, as JSON has it: equal settings are the same run.

    So a default that another version has changed is seen. None stands where the policy or the task decides: `dtype`,
    and `max_tokens` of the environment.
    """
    config = find_agent(run.agent).Config(**run.agent_keys)
    agent_keys = {f.name: getattr(config, f.name) for f in fields(config)}
    env_keys = {**_environment_defaults(parse_env_id(run.env)[0]), **run.env_keys}
    settings: dict[str, Any] = _plain({**asdict(run), "agent_keys": agent_keys, "env_keys": env_keys})
    return settings


def _plain(value: Any) -> Any:
    """A value as JSON would give it back; of what JSON does not know, the text of a path and the type of anything."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value) if isinstance(value, Path) else type(value).__qualname__


def _environment_defaults(task: str) -> dict[str, Any]:
    """What an environment takes for keys that are not given; `split` is none of them."""
    defaults = {**vars(EnvConfig()), **task_defaults(task)}
    return {key: value for key, value in defaults.items() if key != "split"}


def _explained(setting: Field[Any]) -> tuple[str, Any, str]:
    """A field as (key, default, meaning)."""
    default = setting.default if setting.default_factory is MISSING else setting.default_factory()
    return setting.name, default, setting.metadata.get("meaning", "")


def _environment_types(task: str) -> dict[str, Any]:
    return {**ENV_TYPES, **task_types(task)}


def environment_keys(task: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """`keys` as keyword arguments of the environment. Raises `UserError` for an unknown key or a bad value."""
    types = _environment_types(task)
    for key in keys:
        if key not in types:
            raise unknown(f"key of {task}", key, types)
    return {key: typed(key, value, types[key]) for key, value in keys.items()}


def check_writable(out: Path) -> None:
    """Raises `UserError` if nothing can be made at `out`. Writes nothing."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if there.is_file() and there == out.absolute():
        there = there.parent  # a file is replaced
    if not there.is_dir():
        raise UserError(f"cannot write to --out {out}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to --out {out}: no permission to write in {there}")


def processes(run: Run, tokenizer: Tokenizer | None = None) -> tuple[Curriculum, ReasoningMDP]:
    """What a run trains on and what it is measured on. Raises `UserError` for missing data or a bad setting.

    With `holdout` validation both are parts of the training split that share no question, on every level of a
    curriculum, and a policy or reward model that is known to have trained on what is held back is refused. The
    tokenizer matters to prompts alone, so all the rest can be checked before there is a policy.
    """
    from reasonenv.learn.curriculum import Curriculum
    from reasonenv.mdp.make import held_out_keys, make_mdp

    task, _ = parse_env_id(run.env)
    training: TaskName = task
    if run.holdout == VALIDATION:
        for name in filter(None, (run.policy, run.orm, run.rank)):
            check_unseen(name, run.env)
        training = training_part(task)
    if run.curriculum is None:
        course = Curriculum((make_mdp(training, tokenizer=tokenizer, **run.env_keys),))
    else:
        course = _course(run, training, run.curriculum, tokenizer)
    if run.holdout == VALIDATION:
        return course, make_mdp(validation_part(task), tokenizer=tokenizer, **run.env_keys)
    return course, make_mdp(task, tokenizer=tokenizer, **held_out_keys(task, run.env_keys))


def _course(run: Run, training: TaskName, curriculum: str, tokenizer: Tokenizer | None) -> Curriculum:
    from reasonenv.learn.curriculum import Curriculum, at_level, read_levels
    from reasonenv.mdp.make import resolve_tokenizer
    from reasonenv.mdp.mdp import ReasoningMDP

    task, _ = parse_env_id(run.env)
    settings = [environment_keys(task, level) for level in read_levels(curriculum)]
    made: dict[str, ReasoningMDP] = {}  # levels of equal settings are one process
    for level in settings:
        if "split" in level:
            raise UserError("curriculum changes split; a run trains on train")
        if str(level) not in made:
            config, knobs = divided({**run.env_keys, **level})
            task_at_level = at_level(make_task(training, **knobs), level)
            made[str(level)] = ReasoningMDP(task_at_level, resolve_tokenizer(tokenizer), config)
    return Curriculum(tuple(made[str(level)] for level in settings), tuple(settings))


def fingerprints(run: Run, course: Curriculum, held_out: ReasoningMDP) -> dict[str, str]:
    """Split -> a hash of its problems: what the `processes` of a run ask."""
    return {"train": course.fingerprint, run.holdout: held_out.task.fingerprint}


def held_out_problems(run: Run, held_out: ReasoningMDP) -> list[Problem]:
    """Those problems of the held-out process that a run is measured on."""
    problems = held_out.task.problems
    return [problems[i] for i in range(min(run.eval_problems, len(problems)))]
