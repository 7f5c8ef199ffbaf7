"""One run: from its description to a trained policy in a folder."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reasonenv.core import Problem
from reasonenv.errors import UserError, unknown
from reasonenv.mdp.rewards import REWARDS
from reasonenv.registry import annotation_text, find_agent, parse_env_id, task_defaults, task_keys
from reasonenv.sampling import SAMPLERS
from reasonenv.tasks import PROMPTS

if TYPE_CHECKING:
    from reasonenv.evaluate.stats import Estimate
    from reasonenv.mdp.mdp import ReasoningMDP
    from reasonenv.tokenizer import Tokenizer

HELD_OUT_SAMPLES = 4  # a problem, on which a reward model is measured
# What an environment takes beside its task's keys.
MDP_KEYS = {"reward": "str", "max_tokens": "int", "prompt": "str", "stochastic": "str | None"}


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
    eval_problems: int = _setting(200, "held-out problems: the first ones of the test split")
    eval_samples: int = _setting(0, "sampled answers a held-out problem after the last iteration, for pass@k")
    eval_every: int = _setting(10, "iterations between evaluations")
    orm: str | None = _setting(None, "folder of a reward model; its score is the reward in place of the verdict")
    sampler: str = _setting("torch", f"who draws the responses: {' or '.join(SAMPLERS)}")
    lora: int | None = _setting(None, "rank of an adapter that is trained in place of the whole policy (needs peft)")
    checkpointing: bool = _setting(False, "layers are computed again in the backward pass: less memory, more time")
    device: str = _setting("cpu", "of the policy: cpu, cuda, ...")
    dtype: str | None = _setting(None, "of the policy (none: float32 for small ones, bfloat16 for pretrained ones)")

    def __post_init__(self) -> None:
        for name, least in {
            "iterations": 0,
            "eval_problems": 1,
            "eval_samples": 0,
            "eval_every": 1,
            "lora": 1,
        }.items():
            if getattr(self, name) is not None and getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.sampler not in SAMPLERS:
            raise unknown("sampler", self.sampler, SAMPLERS)


SETTINGS = ("eval_problems", "eval_samples", "eval_every", "orm", "sampler", "lora", "checkpointing", "device", "dtype")


def describe_run(agent: str, env: str, keys: Mapping[str, Any], **named: Any) -> Run:
    """Sorts `keys` into settings of the run, fields of the agent's Config and arguments of the environment.

    Values are strings or already typed. Raises `UserError` for an unknown key (with the nearest ones) or a bad value.
    """
    config = find_agent(agent).Config
    types = {f.name: str(f.type) for f in fields(Run) if f.name in SETTINGS}
    agent_types = {f.name: annotation_text(f.type) for f in fields(config)}
    env_types = _environment_types(parse_env_id(env)[0])
    env_types.pop("split", None)  # training takes train, evaluation takes test
    found: dict[str, dict[str, Any]] = {"run": {}, "agent": {}, "env": {}}
    for key, value in keys.items():
        for room, known in (("run", types), ("agent", agent_types), ("env", env_types)):
            if key in known:
                found[room][key] = typed(key, value, known[key])
                break
        else:
            raise unknown("key", key, {*types, *agent_types, *env_types})
    config(**found["agent"])  # refuses bad values now rather than after the policy is loaded
    return Run(agent, env, agent_keys=found["agent"], env_keys=found["env"], **found["run"], **named)


def explain_keys(agent: str, env: str | None) -> list[tuple[str, list[tuple[str, Any, str]]]]:
    """What may be set in a run of `agent` on `env`: sections of (key, default, meaning)."""
    numbers = [(f.name, f.default, f.metadata.get("meaning", "")) for f in fields(find_agent(agent).Config)]
    settings = [(f.name, f.default, f.metadata["meaning"]) for f in fields(Run) if f.name in SETTINGS]
    sections = [(f"settings of {agent}", numbers), ("settings of the run", settings)]
    if env is not None:
        from reasonenv.mdp.make import make_mdp

        task, _ = parse_env_id(env)
        defaults = {p.name: p.default for p in signature(make_mdp).parameters.values()} | task_defaults(task)
        meanings = {
            "reward": ", ".join(REWARDS),
            "max_tokens": "budget of a response (none: what suits the task)",
            "prompt": ", ".join(PROMPTS),
        }
        types = _environment_types(task)
        keys = [(key, defaults.get(key), meanings.get(key, types[key])) for key in types if key != "split"]
        sections.append((f"settings of {env}", keys))
    return sections


def _environment_types(task: str) -> dict[str, str]:
    return MDP_KEYS | task_keys(task)


def environment_keys(task: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """`keys` as keyword arguments of the environment. Raises `UserError` for an unknown key or a bad value."""
    types = _environment_types(task)
    for key in keys:
        if key not in types:
            raise unknown(f"key of {task}", key, types)
    return {key: typed(key, value, types[key]) for key, value in keys.items()}


def typed(key: str, value: Any, annotation: str) -> Any:
    """`value` as the type that `annotation` names; strings are read as on a command line, `none` is None."""
    kinds = [k.strip() for k in annotation.split("|")]
    if "None" in kinds and (value is None or str(value).lower() == "none"):
        return None
    if "bool" in kinds and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    for kind, make in (("int", int), ("float", float)):
        if kind in kinds and not isinstance(value, bool):
            try:
                if math.isfinite(number := float(value)) and (kind == "float" or number == int(number)):
                    return make(number)
            except (TypeError, ValueError):
                pass
    if {"str", "Path"} & set(kinds):
        return str(value)
    raise UserError(f"{key} is {value!r}; it must be {' or '.join(kinds)}")


def check_writable(out: Path) -> None:
    """Raises `UserError` if nothing can be made at `out`. Writes nothing."""
    there = next(path for path in (out.absolute(), *out.absolute().parents) if path.exists())
    if there.is_file() and there == out.absolute():
        there = there.parent  # a file is replaced
    if not there.is_dir():
        raise UserError(f"cannot write to --out {out}: {there} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise UserError(f"cannot write to --out {out}: no permission to write in {there}")


def check_claim(out: Path, run: Run) -> None:
    """Raises `UserError` if `out` cannot be the folder of `run`: it holds another run, or nothing can be made there."""
    path, mine = out / "run.json", json.loads(json.dumps(asdict(run)))
    if path.exists():
        theirs = json.loads(path.read_text())
        differing = [k for k in mine if mine[k] != theirs.get(k)]
        if differing:
            key = differing[0]
            raise UserError(
                f"{out} holds another run: {key} is {theirs.get(key)!r} there, {mine[key]!r} here; choose another --out"
            )
    elif out.is_file():
        raise UserError(f"cannot write to --out {out}: it is a file; give a folder")
    check_writable(out)


def claim(out: Path, run: Run) -> None:
    """Makes `out` the folder of `run`."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        replace(out / "run.json", json.dumps(asdict(run), indent=1))
    except OSError as error:
        raise UserError(f"cannot write to --out {out}: {error.strerror}") from error


def replace(path: Path, text: str) -> None:
    """Writes a file that is never seen half written."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)


def processes(run: Run, tokenizer: Tokenizer | None = None) -> tuple[ReasoningMDP, ReasoningMDP]:
    """What a run trains on and what it is measured on. Raises `UserError` for missing data or a bad setting.

    The tokenizer matters to prompts alone, so all the rest can be checked before there is a policy.
    """
    from reasonenv.mdp.make import make_mdp

    task, _ = parse_env_id(run.env)
    training, held_out = (
        make_mdp(task, tokenizer=tokenizer, **{**run.env_keys, **split}) for split in ({}, {"split": "test"})
    )
    return training, held_out


def test_problems(run: Run) -> list[Problem]:
    """The held-out problems of a run. Raises `UserError` as `processes` does."""
    problems = processes(run)[1].task.problems
    return [problems[i] for i in range(min(run.eval_problems, len(problems)))]


def train(run: Run, out: Path, *, start: Path | None = None, quiet: bool = False) -> dict[str, Any]:
    """Trains, or goes on training, and returns the summary that it leaves as `out/summary.json`.

    `start` is where the policy is, if it is not to be found by its name.

    Leaves `out/policy` (a Hugging Face folder) or `out/scorer` (a reward model), `out/evaluations/` (held-out answers
    along the way), `out/evaluation.jsonl` (the last, with `eval_samples` answers a problem), `metrics.jsonl` and
    `tensorboard/`. An agent that does not learn leaves answers alone.
    """
    check_claim(out, run)
    summary_path = out / "summary.json"
    if summary_path.exists():
        return dict(json.loads(summary_path.read_text()))
    from reasonenv.evaluate.evaluation import HeldOut, HeldOutChoice, HeldOutScores, contrary, evaluate
    from reasonenv.evaluate.metrics import auc
    from reasonenv.evaluate.samples import read_samples, write_samples
    from reasonenv.evaluate.stats import paired_difference
    from reasonenv.learn.agent import PolicyGradient
    from reasonenv.learn.fixed import Fixed
    from reasonenv.learn.judge import FALLS, judged
    from reasonenv.learn.train import Progress, fit
    from reasonenv.policy.lora import add_adapter
    from reasonenv.policy.pretrained import load_policy
    from reasonenv.policy.recompute import recompute
    from reasonenv.policy.scorer import load_scorer, scorer_folder
    from reasonenv.sampling import make_sampler

    kind = find_agent(run.agent)
    falls = run.env_keys.get("reward", "sparse")
    if run.orm is not None:
        scorer_folder(run.orm)
        if falls not in FALLS:
            raise UserError(f"reward is {falls!r}; with orm= it must be one of {', '.join(FALLS)}")
        if not issubclass(kind, PolicyGradient):
            raise UserError(f"{run.agent} does not learn from rewards, so orm= would change nothing; leave it out")
    processes(run)
    policy = load_policy(str(start or run.policy), seed=run.seed, device=run.device, dtype=run.dtype)
    mdp, held_out = processes(run, policy.tokenizer)
    for process in (mdp, held_out):
        process.fits(policy.context, name=run.policy)
    if run.lora is not None:
        add_adapter(policy, run.lora, seed=run.seed)
    if run.checkpointing:
        recompute(policy)
    agent = kind(policy, kind.Config(**run.agent_keys), seed=run.seed)
    judge = None if run.orm is None else partial(judged, scorer=load_scorer(run.orm, policy), falls=falls)
    claim(out, run)
    sampler = make_sampler(run.sampler, policy)
    where = (sampler, held_out, out / "evaluations")
    named: dict[str, Any] = {"problems": run.eval_problems, "seed": run.seed}
    watch = HeldOut(*where, **named)
    if isinstance(agent, Fixed):
        watch, used = HeldOutChoice(*where, **named, agent=agent), Progress()
        for iteration in (0, run.iterations):
            watch(iteration)
        sampler = agent.sampler(sampler)
    else:
        if agent.scorer is not None:
            samples = run.eval_samples or HELD_OUT_SAMPLES
            watch = HeldOutScores(*where, **named, scorer=agent.scorer, samples=samples)
        used = fit(
            agent,
            sampler,
            mdp,
            iterations=run.iterations,
            seed=run.seed,
            out=out,
            evaluate=watch,
            eval_every=run.eval_every,
            judge=judge,
            quiet=quiet,
        )
    problems = range(min(run.eval_problems, len(held_out.task.problems)))
    last = read_samples(watch.path(run.iterations))
    ask = partial(evaluate, sampler, held_out, problems, seed=run.seed)
    told: dict[str, Any] = {}
    if agent.scorer is not None:
        agent.scorer.save(out / "scorer")
        told = {"auc": auc([s.score or 0.0 for s in last], [s.correct for s in last])}
    elif not isinstance(agent, Fixed):
        policy.save(out / "policy")
    if agent.scorer is None and run.eval_samples:
        last += ask(samples=run.eval_samples, temperature=1.0)
    if worse := contrary(policy, partial(ask, samples=1, temperature=0.0)):
        write_samples(out / "contrary.jsonl", worse)
        told = {"contrary": sum(s.correct for s in worse) / len(worse)}
    write_samples(out / "evaluation.jsonl", last)
    before, after = (watch.outcomes(iteration) for iteration in (0, run.iterations))
    gain = paired_difference(after, before)
    summary = {
        "before": sum(before) / len(before),
        "after": sum(after) / len(after),
        "gain": {"value": gain.value, "low": gain.low, "high": gain.high},
        "problems": len(after),
        **told,
        **vars(used),
    }
    replace(summary_path, json.dumps(summary, indent=1))
    return summary


def assess(
    policy_name: str,
    env: str,
    keys: Mapping[str, Any],
    *,
    samples: int,
    problems: int,
    temperature: float = 1.0,
    seed: int = 0,
    device: str = "cpu",
    dtype: str | None = None,
    orm: str | None = None,
    out: Path | None = None,
    quiet: bool = False,
) -> Mapping[str, Estimate]:
    """maj@1 and, with `samples` answers a problem, avg@k, maj@k and pass@k on `problems` of the test split.

    With the folder of a reward model also rerank@k and weighted@k; for a policy that is asked for a goal, maj@1 when it
    is asked for the contrary.
    """
    from tqdm import tqdm

    from reasonenv.evaluate.evaluation import contrary, evaluate
    from reasonenv.evaluate.metrics import summarise
    from reasonenv.evaluate.samples import write_samples
    from reasonenv.mdp.make import make_mdp
    from reasonenv.policy.pretrained import load_policy
    from reasonenv.policy.scorer import load_scorer, scorer_folder
    from reasonenv.sampling import make_sampler

    for name, value, least in (("samples", samples, 0), ("problems", problems, 1)):
        if value < least:
            raise UserError(f"--{name} is {value}; it must be at least {least}")
    if not temperature >= 0:
        raise UserError(f"--temperature is {temperature}; it must be 0 (greedy) or more")
    if orm is not None:
        if samples < 2:
            raise UserError(f"--samples is {samples}; --orm ranks sampled answers, give at least 2")
        scorer_folder(orm)
    if out is not None:
        check_writable(out)
    task, _ = parse_env_id(env)
    settings = {"split": "test", **environment_keys(task, keys)}
    make_mdp(task, **settings)  # refuses bad settings and missing data before the policy is loaded
    policy = load_policy(policy_name, seed=seed, device=device, dtype=dtype)
    scorer = None if orm is None else load_scorer(orm, policy)
    mdp = make_mdp(task, tokenizer=policy.tokenizer, **settings)
    mdp.fits(policy.context, name=policy_name)
    chosen = range(min(problems, len(mdp.task.problems)))
    asked = 1 + samples + (policy.goals is not None)
    with tqdm(total=len(chosen) * asked, unit=" answers", dynamic_ncols=True, disable=quiet) as bar:

        def count(finished: int) -> None:
            bar.update(finished)

        ask = partial(evaluate, make_sampler("torch", policy), mdp, chosen, seed=seed, progress=count)
        found = ask(samples=1, temperature=0.0)
        found += ask(samples=samples, temperature=temperature, scorer=scorer) if samples else []
        worse = contrary(policy, partial(ask, samples=1, temperature=0.0))
    if out is not None:
        write_samples(out, found)
    summary = dict(summarise(found, [samples] if samples else []))
    if worse and policy.goals is not None:
        summary[f"maj@1 {policy.goals.contrary}"] = summarise(worse, [])["maj@1"]
    return summary
