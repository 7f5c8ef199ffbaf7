"""One run: from its description to a trained policy in a folder."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reasonenv.core import Problem
from reasonenv.errors import UserError, unknown
from reasonenv.registry import annotation_text, find_agent, parse_env_id, task_keys
from reasonenv.sampling import SAMPLERS, check_sampler, make_sampler

if TYPE_CHECKING:
    from reasonenv.evaluate.stats import Estimate
    from reasonenv.mdp.mdp import ReasoningMDP
    from reasonenv.tokenizer import Tokenizer

MDP_KEYS = {"reward": "str", "max_tokens": "int", "prompt": "str"}  # what an environment takes beside its task's keys


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
    eval_problems: int = 200  # the first ones of the test split
    eval_samples: int = 0  # sampled answers a problem after the last iteration, for pass@k
    eval_every: int = 10  # iterations
    sampler: str = "torch"
    address: str | None = None  # of a served vLLM; None starts an engine where sampler is vllm
    device: str = "cpu"
    dtype: str | None = None  # of the policy; None is float32 for small ones, bfloat16 for pretrained ones

    def __post_init__(self) -> None:
        for name, least in {
            "iterations": 1,
            "eval_problems": 1,
            "eval_samples": 0,
            "eval_every": 1,
        }.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.sampler not in SAMPLERS:
            raise unknown("sampler", self.sampler, SAMPLERS)


SETTINGS = ("eval_problems", "eval_samples", "eval_every", "sampler", "address", "device", "dtype")


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

    Leaves `out/policy` (a Hugging Face folder), `out/evaluations/` (held-out answers along the way),
    `out/evaluation.jsonl` (the last, with `eval_samples` answers a problem), `metrics.jsonl` and `tensorboard/`.
    """
    check_claim(out, run)
    summary_path = out / "summary.json"
    if summary_path.exists():
        return dict(json.loads(summary_path.read_text()))
    from reasonenv.evaluate.evaluation import HeldOut, evaluate
    from reasonenv.evaluate.samples import read_samples, write_samples
    from reasonenv.evaluate.stats import paired_difference
    from reasonenv.learn.train import fit
    from reasonenv.policy.pretrained import load_policy

    check_sampler(run.sampler, run.address)
    processes(run)
    policy = load_policy(str(start or run.policy), seed=run.seed, device=run.device, dtype=run.dtype)
    mdp, held_out = processes(run, policy.tokenizer)
    for process in (mdp, held_out):
        process.fits(policy.context, name=run.policy)
    claim(out, run)
    with closing(make_sampler(run.sampler, policy, address=run.address)) as sampler:
        kind = find_agent(run.agent)
        agent = kind(policy, kind.Config(**run.agent_keys), seed=run.seed)
        watch = HeldOut(sampler, held_out, out / "evaluations", problems=run.eval_problems, seed=run.seed)
        used = fit(
            agent,
            sampler,
            mdp,
            iterations=run.iterations,
            seed=run.seed,
            out=out,
            evaluate=watch,
            eval_every=run.eval_every,
            quiet=quiet,
        )
        policy.save(out / "policy")
        problems = range(min(run.eval_problems, len(held_out.task.problems)))
        first, last = (read_samples(watch.path(iteration)) for iteration in (0, run.iterations))
        before, after = ([float(s.correct) for s in samples] for samples in (first, last))
        if run.eval_samples:
            last += evaluate(sampler, held_out, problems, samples=run.eval_samples, temperature=1.0, seed=run.seed)
    write_samples(out / "evaluation.jsonl", last)
    gain = paired_difference(after, before)
    summary = {
        "before": sum(before) / len(before),
        "after": sum(after) / len(after),
        "gain": {"value": gain.value, "low": gain.low, "high": gain.high},
        "problems": len(after),
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
    sampler: str = "torch",
    device: str = "cpu",
    dtype: str | None = None,
    out: Path | None = None,
    quiet: bool = False,
) -> Mapping[str, Estimate]:
    """maj@1 and, with `samples` answers a problem, avg@k, maj@k and pass@k on `problems` of the test split."""
    from tqdm import tqdm

    from reasonenv.evaluate.evaluation import evaluate
    from reasonenv.evaluate.metrics import summarise
    from reasonenv.evaluate.samples import write_samples
    from reasonenv.mdp.make import make_mdp
    from reasonenv.policy.pretrained import load_policy

    for name, value, least in (("samples", samples, 0), ("problems", problems, 1)):
        if value < least:
            raise UserError(f"--{name} is {value}; it must be at least {least}")
    if not temperature >= 0:
        raise UserError(f"--temperature is {temperature}; it must be 0 (greedy) or more")
    if out is not None:
        check_writable(out)
    check_sampler(sampler)
    task, _ = parse_env_id(env)
    settings = {"split": "test", **environment_keys(task, keys)}
    make_mdp(task, **settings)  # refuses bad settings and missing data before the policy is loaded
    policy = load_policy(policy_name, seed=seed, device=device, dtype=dtype)
    mdp = make_mdp(task, tokenizer=policy.tokenizer, **settings)
    mdp.fits(policy.context, name=policy_name)
    chosen = range(min(problems, len(mdp.task.problems)))
    with (
        closing(make_sampler(sampler, policy)) as source,
        tqdm(total=len(chosen) * (1 + samples), unit=" answers", dynamic_ncols=True, disable=quiet) as bar,
    ):

        def count(finished: int) -> None:
            bar.update(finished)

        ask = partial(evaluate, source, mdp, chosen, seed=seed, progress=count)
        found = ask(samples=1, temperature=0.0)
        found += ask(samples=samples, temperature=temperature) if samples else []
    if out is not None:
        write_samples(out, found)
    return summarise(found, [samples] if samples else [])
