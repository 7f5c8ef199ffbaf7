"""The settings of a run, an evaluation and an examination.

Every field of a record is a setting of the command line, `key=value`, and of a suite. Those of the agent and of the
environment stand beside them: `agent_keys` are fields of the agent's `Config`, `env_keys` keywords of the environment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, asdict, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from reasonenv.catalog import find_agent, parse_env_id, task_name, task_settings
from reasonenv.errors import UserError, unknown
from reasonenv.learn.log import LOGGERS, NO_LOGGER, check_loggers
from reasonenv.mdp.config import EnvConfig
from reasonenv.measures.records import RUN
from reasonenv.policy.pretrained import AUTO, best_device
from reasonenv.rollout import SEARCHES
from reasonenv.sampling import SAMPLERS
from reasonenv.sampling.sampler import KEYS, TRAINING
from reasonenv.settings import Setting, as_text, build, read_value, record, setting, settings_of
from reasonenv.storage import read_record
from reasonenv.tasks import TEST, VALIDATION

Holdout = Literal["test", "validation"]
DType = Literal["float32", "bfloat16", "float16"]

VERDICT, AGREEMENT = "verdict", "agreement"  # what a search may go by, beside the folder of a reward model
MAX_SAMPLES = 1 << 20  # a problem: more is a slip of the hand
WITHIN = f"what is held out: {TEST}, or {VALIDATION}, one in ten training questions"


@record
class PolicyConfig:
    """A policy, the device that it is on, what draws its responses, and the environment that it answers."""

    policy: str = setting("tiny", "tiny, smollm2-135m, a run's folder, a path or a hub id")
    seed: int = setting(0, "of everything that is drawn")
    device: str = setting(AUTO, "of the policy: cpu, cuda, mps, ... (auto: cuda if there is one, else cpu)")
    dtype: DType | None = setting(None, "of the policy (none: float32 if small, bfloat16 if pretrained)")
    sampler: str = setting("torch", f"what draws the responses: {' or '.join(SAMPLERS)}")
    address: str | None = setting(None, "of a served vLLM (none: sampler=vllm starts an engine of its own)")
    lora: int | None = setting(
        None, "rank of an adapter that is trained in place of the whole policy (needs peft)", ge=1
    )
    checkpointing: bool = setting(False, "layers are computed again in the backward pass: less memory, more time")
    env: str
    env_keys: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        SAMPLERS.check_name(self.sampler)

    @property
    def task(self) -> str:
        """The name of the environment's task."""
        return parse_env_id(self.env)[0]


@record
class SearchConfig(PolicyConfig):
    """And how responses are searched for, where they are not simply drawn."""

    search: str | None = setting(None, f"searches for responses: {', '.join(SEARCHES)} (none: they are drawn)")
    search_tokens: int | None = setting(None, "tokens that a search may draw for a problem, all counted", ge=1)
    search_value: str | None = setting(
        None, "what a search goes by: agreement of answers, the folder of a trained orm or, in training, verdict"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.search is None:
            for name in ("search_tokens", "search_value"):
                if getattr(self, name) is not None:
                    raise UserError(f"{name} is {getattr(self, name)}; without search= it means nothing, leave it out")
            return
        SEARCHES.check_name(self.search)
        if self.search_tokens is None:
            raise UserError(
                f"search={self.search} has no budget; give search_tokens=, say 2048: the tokens that it may draw for a "
                "problem, discarded ones among them"
            )


@record
class RunConfig(SearchConfig):
    """Everything that decides a run's result. Two equal records give the same weights, bit for bit, on one CPU."""

    agent: str
    iterations: int = setting(100, "how often to sample and learn", ge=0)
    agent_keys: Mapping[str, Any] = field(default_factory=dict)
    eval_problems: int = setting(200, "held-out problems: the first ones", ge=1)
    holdout: Holdout = setting("test", WITHIN)
    eval_samples: int = setting(0, "sampled answers a held-out problem after the last iteration, for pass@k", ge=0)
    base_samples: int = setting(0, "samples a held-out problem, at most, that tell what the policy can solve", ge=0)
    eval_every: int = setting(10, "iterations between evaluations", ge=1)
    curriculum: str | None = setting(None, "KEY:VALUE,VALUE*COUNT,.. of the environment, in equal parts of the run")
    orm: str | None = setting(None, "folder of a reward model; its score is the reward in place of the verdict")
    rank: str | None = setting(None, "folder of a reward model that scores the sampled answers, for rerank@k")
    keep_checkpoints: int | None = setting(
        None, "the last N stay behind the end (none: one, if large without the optimiser's state)", ge=1
    )
    logger: str = setting("tensorboard", f"{', '.join(LOGGERS)}, NAME+NAME or {NO_LOGGER}: where curves go too")

    def __post_init__(self) -> None:
        super().__post_init__()
        check_loggers(self.logger)

    @property
    def agent_config(self) -> Any:
        """The agent's `Config`."""
        return find_agent(self.agent).Config(**self.agent_keys)


@record
class EvalConfig(SearchConfig):
    """A policy that is measured on held-out problems of an environment."""

    samples: int = setting(0, "sampled answers a problem, beside the greedy one", ge=0, le=MAX_SAMPLES)
    problems: int = setting(200, "held-out problems: the first ones", ge=1)
    temperature: float = setting(1.0, "of the sampled answers", ge=0)
    top_k: int = setting(0, "the sampled answers are of the K likeliest tokens alone (0: all)", ge=0)
    top_p: float = setting(1.0, "and of the fewest tokens whose mass reaches P (1: all)", gt=0, le=1)
    orm: str | None = setting(None, "folder of a reward model: rerank@k and weighted@k by its scores")
    holdout: Holdout = setting("test", WITHIN)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_blind(self)
        if self.orm is not None and self.samples < 2:
            raise UserError(f"samples is {self.samples}; orm ranks sampled answers, give at least 2")


@record
class DoctorConfig(PolicyConfig):
    """A policy that is examined on training problems of an environment."""

    problems: int = setting(8, "training problems to sample: the first ones", ge=1)
    samples: int = setting(4, "answers a problem", ge=2)


Measured = TypeVar("Measured", EvalConfig, DoctorConfig)
HOW = (
    "logger",
    "keep_checkpoints",
)  # settings of a run that change nothing of what it comes to, so it is the same run with others
UNASKED = ("reward", "size", "seed")  # settings of an environment that change no question of a kind and no verdict
SPELLED = ("agent", "env", "agent_keys", "env_keys")  # fields that are no `key=value`


def describe_run(agent: str, env: str, keys: Mapping[str, Any], **fixed: Any) -> RunConfig:
    """Sorts `keys` into settings of the run, fields of the agent's `Config` and keywords of the environment.

    Values are texts or what TOML knows. `fixed` are settings of the run that `keys` cannot change. Raises `UserError`
    for an unknown key, with the nearest ones, or a bad value.
    """
    config = find_agent(agent).Config
    sections = {
        "run": _settable(RunConfig, fixed),
        "agent": settings_of(config),
        "env": environment_settings(parse_env_id(env)[0], training=True),
    }
    for key in KEYS:
        if key in keys and not any(key in settings for settings in sections.values()):
            raise UserError(f"{key} is {keys[key]}; {TRAINING}")
    values = _read(keys, sections)
    build(config, values["agent"])  # refuses bad values now rather than after the policy is loaded
    run = RunConfig(agent=agent, env=env, agent_keys=values["agent"], env_keys=values["env"], **values["run"], **fixed)
    if run.orm is not None:
        _check_rewarded(run)
    if run.search is not None:
        _check_searched(run)
    return run


def describe_eval(policy: str, env: str | None, keys: Mapping[str, Any]) -> EvalConfig:
    """As `describe_run`. Without `env`, `policy` is the folder of a run, whose environment and its keys are meant."""
    if env is not None:
        return describe(EvalConfig, policy, env, keys)
    path = Path(policy) / RUN
    if not path.is_file():
        raise UserError(
            f"{policy!r} is no folder of a run with an environment of its own; say on which ENV_ID to measure it"
        )
    stored = read_record(path)
    described = describe(EvalConfig, policy, stored["env"], keys)
    trained = environment_keys(described.task, stored["env_keys"])
    return replace(described, env_keys={**trained, **described.env_keys})


def differences_from_training(config: EvalConfig) -> Iterator[str]:
    """What is asked otherwise than in the run whose folder the policy is, if it is one: a line for each setting."""
    path = Path(config.policy) / RUN
    if not path.is_file():
        return
    stored = read_record(path)
    if stored.get("env") != config.env:
        yield f"{config.policy} was trained on {stored.get('env')} and is measured on {config.env}"
        return
    keys = stored.get("env_keys")
    for key, known in environment_settings(config.task).items():
        if not isinstance(keys, Mapping) or key not in keys or key in UNASKED:
            continue
        value = config.env_keys.get(key, known.default)
        if value is not None and repr(_plain(value)) != repr(keys[key]):
            yield f"{config.policy} was trained with {key}={as_text(keys[key])} and is measured with {as_text(value)}"


def describe(kind: type[Measured], policy: str, env: str, keys: Mapping[str, Any]) -> Measured:
    """As `describe_run`, of a record that has no agent."""
    sections = {"run": _settable(kind, ("policy",)), "env": environment_settings(parse_env_id(env)[0])}
    values = _read(keys, sections)
    return kind(policy=policy, env=env, env_keys=values["env"], **values["run"])


def explained(kind: type[PolicyConfig] | None, agent: str | None, env: str | None) -> dict[str, list[Setting]]:
    """What may be set in a record, of an agent and of an environment or a task: sections by their titles."""
    sections: dict[str, list[Setting]] = {}
    fixed = () if kind is RunConfig else ("policy",)  # the word before the settings
    common = {} if kind is None else _settable(kind, fixed)
    sections["settings"] = list(common.values())
    if agent is not None:
        sections[f"settings of {agent}"] = list(settings_of(find_agent(agent).Config).values())
    if env is not None:
        section = sections[f"settings of {env}"] = []
        for known in environment_settings(task_name(env), training=kind is RunConfig).values():
            if known.has_text_form:
                section.append(replace(known, key=f"env.{known.key}") if known.key in common else known)
    return {title: section for title, section in sections.items() if section}


def setting_lines(section: Iterable[Setting]) -> Iterator[str]:
    """Settings with their defaults and meanings, for a person."""
    for known in section:
        yield f"  {known.key:<24} {as_text(known.default):<8} {known.meaning}".rstrip()


def _settable(kind: type[PolicyConfig], fixed: Iterable[str] = ()) -> dict[str, Setting]:
    return {key: known for key, known in settings_of(kind).items() if key not in (*SPELLED, *fixed)}


def _read(keys: Mapping[str, Any], sections: Mapping[str, Mapping[str, Setting]]) -> dict[str, dict[str, Any]]:
    """The values of each section. A key means the first section that has it, and `env.seed` that of the environment."""
    values: dict[str, dict[str, Any]] = {section: {} for section in sections}
    for key, value in keys.items():
        prefix, _, name = key.rpartition(".")
        for section, settings in sections.items():
            if name in settings and prefix in ("", section):
                values[section][name] = read_value(name, value, settings[name].annotation)
                break
        else:
            known = [name for settings in sections.values() for name in settings]
            raise unknown("key", key, dict.fromkeys(known))
    return values


def _check_rewarded(run: RunConfig) -> None:
    """Raises `UserError` if no reward model can reward this run."""
    from reasonenv.learn.judge import PLACEMENTS

    reward = run.env_keys.get("reward", "sparse")
    if reward not in PLACEMENTS:
        raise UserError(f"reward is {reward!r}; with orm= it must be one of {', '.join(PLACEMENTS)}")
    if not find_agent(run.agent).learns_from_rewards:
        raise UserError(f"{run.agent} does not learn from rewards, so orm= would change nothing; leave it out")


def _check_searched(run: RunConfig) -> None:
    """Raises `UserError` if the agent of this run cannot learn from what a search selects."""
    from reasonenv.learn.agent import Agent, no_draws

    agent = find_agent(run.agent)
    if not agent.takes_selected:
        raise UserError(f"search is {run.search}; {no_draws(run.agent)}")
    if not issubclass(agent, Agent):
        _check_blind(run)
    elif agent.conditions:
        raise UserError(f"search is {run.search}; {run.agent} writes behind goals, which no search sets; leave it out")


def _check_blind(searched: SearchConfig) -> None:
    """Raises `UserError` for a search that looks at reference answers, where answers are to be measured."""
    if searched.search_value == VERDICT:
        raise UserError(
            f"search_value is {VERDICT}, which looks at the reference answers; where a policy is measured it must be "
            f"{AGREEMENT} or the folder of a trained orm"
        )


def environment_settings(task: str, *, training: bool = False) -> dict[str, Setting]:
    """What an environment of `task` takes; `training` is on the split train, and measured on test."""
    settings = {**settings_of(EnvConfig), **task_settings(task)}
    if training:
        settings.pop("split", None)
    return settings


def agent_config(agent: str, keys: Mapping[str, Any]) -> Any:
    """`keys` as the `Config` of an agent. Raises `UserError` for an unknown key or a bad value."""
    config = find_agent(agent).Config
    return build(config, _read(keys, {"agent": settings_of(config)})["agent"])


def environment_keys(task: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """`keys` as keyword arguments of the environment. Raises `UserError` for an unknown key or a bad value."""
    return _read(keys, {"env": environment_settings(task)})["env"]


def resolved(run: RunConfig) -> dict[str, Any]:
    """Every setting of a run with its value, defaults included, as JSON has it: equal settings are the same run.

    So a default that another version has changed is seen. None stands where the policy or the task decides: `dtype`,
    and `max_tokens` of the environment.
    """
    config = run.agent_config
    agent_keys = {f.name: getattr(config, f.name) for f in fields(config)}
    env_keys: dict[str, Any] = {}
    for key, known in environment_settings(run.task, training=True).items():
        if known.default is not MISSING:
            env_keys[key] = known.default
    stated = {key: value for key, value in asdict(run).items() if key not in HOW}
    stated["device"] = best_device(run.device)
    stated |= {"agent_keys": agent_keys, "env_keys": {**env_keys, **run.env_keys}}
    settings: dict[str, Any] = _plain(stated)
    return settings


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with those of agent and environment by names such as `agent_keys.lr`."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if key in ("agent_keys", "env_keys") and isinstance(value, Mapping):
            flat.update({f"{key}.{name}": setting for name, setting in value.items()})
        else:
            flat[key] = value
    return flat


def defaults(run: RunConfig) -> RunConfig:
    """A run of the same agent on the same environment for which nothing was set."""
    return describe_run(run.agent, run.env, {})


def restored(record: Mapping[str, Any]) -> RunConfig:
    """The settings of a run from those that `resolved` has left in its `run.json`, or an older version did.

    Raises `UserError` as `describe_run`, for a key that no setting has any more among others.
    """
    try:
        agent, env, agent_keys, env_keys = (record[key] for key in SPELLED)
        agent_keys, env_keys = dict(agent_keys), dict(env_keys)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{RUN} does not say the settings of a run ({type(error).__name__}: {error})") from error
    keys = {key: record[key] for key in _settable(RunConfig) if key in record}
    keys |= {f"agent.{key}": value for key, value in agent_keys.items()}
    keys |= {f"env.{key}": value for key, value in env_keys.items()}
    return describe_run(agent, env, keys)


def _plain(value: Any) -> Any:
    """A value as JSON would give it back; of what JSON does not know, the text of a path and the type of anything."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    return str(value) if isinstance(value, Path) else type(value).__qualname__
