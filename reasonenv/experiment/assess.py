"""Figures of one policy on held-out problems, without training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reasonenv.catalog import parse_env_id
from reasonenv.errors import UserError, unknown
from reasonenv.experiment.config import TaskName, check_writable, environment_keys
from reasonenv.experiment.held_out import contrary, evaluate
from reasonenv.experiment.validation import check_unseen, validation_part
from reasonenv.mdp.make import held_out_keys, make_mdp
from reasonenv.measures.metrics import GREEDY, summarise
from reasonenv.measures.questions import held_out_problems
from reasonenv.measures.samples import write_samples
from reasonenv.policy.pretrained import load_policy
from reasonenv.policy.scorer import load_scorer, scorer_folder
from reasonenv.sampling import check_sampler, make_sampler
from reasonenv.sampling.sampler import Sampling
from reasonenv.sampling.truncated import Truncated
from reasonenv.stats import Estimate, accuracy
from reasonenv.tasks import HOLDOUTS, TEST

MAX_SAMPLES = 1 << 20  # a problem: more is a slip of the hand


def assess(
    policy_name: str,
    env: str,
    keys: Mapping[str, Any],
    *,
    samples: int,
    problems: int,
    temperature: float = 1.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int = 0,
    sampler: str = "torch",
    device: str = "cpu",
    dtype: str | None = None,
    orm: str | None = None,
    holdout: str = TEST,
    out: Path | None = None,
    quiet: bool = False,
) -> Mapping[str, Estimate]:
    """Greedy accuracy and, with `samples` answers a problem, avg@k, maj@k and pass@k on `problems` of the test split.

    With `holdout` validation on those of the training split that runs with this setting do not train on; a policy that
    is known to have trained on them is refused.

    The samples are of `temperature`, and of the tokens that `top_k` and `top_p` leave (see `Sampling`).
    With the folder of a reward model also rerank@k and weighted@k; for a policy that is asked for a goal, the
    greedy accuracy when it is asked for the contrary.
    """
    for name, value, least in (("samples", samples, 0), ("problems", problems, 1)):
        if value < least:
            raise UserError(f"--{name} is {value}; it must be at least {least}")
    if samples > MAX_SAMPLES:
        raise UserError(f"--samples is {samples}; it must be at most {MAX_SAMPLES}")
    if not 0 <= temperature < math.inf:
        raise UserError(f"--temperature is {temperature}; it must be 0 (greedy) or more, and finite")
    if orm is not None:
        if samples < 2:
            raise UserError(f"--samples is {samples}; --orm ranks sampled answers, give at least 2")
        scorer_folder(orm)
    if out is not None:
        check_writable(out)
        if out.suffix != ".parquet":
            raise UserError(f"--out is {out}; answers are stored as Parquet, give a name that ends in .parquet")
    Sampling(1, temperature, top_k=top_k, top_p=top_p)  # refuses bad numbers now
    check_sampler(sampler)
    task, settings = _asked(env, keys, holdout)
    if holdout != TEST:
        for name in filter(None, (policy_name, orm)):
            check_unseen(name, env)
    make_mdp(task, **settings)  # refuses bad settings and missing data before the policy is loaded
    policy = load_policy(policy_name, seed=seed, device=device, dtype=dtype)
    scorer = None if orm is None else load_scorer(orm, policy)
    mdp = make_mdp(task, tokenizer=policy.tokenizer, **settings)
    mdp.fits(policy.context, name=policy_name)
    chosen = range(min(problems, len(mdp.task.problems)))
    asked = 1 + samples + (policy.goals is not None)
    with (
        closing(make_sampler(sampler, policy)) as source,
        tqdm(total=len(chosen) * asked, unit=" answers", dynamic_ncols=True, disable=quiet) as bar,
    ):

        def count(finished: int) -> None:
            bar.update(finished)

        ask = partial(evaluate, source, mdp, chosen, seed=seed, progress=count)
        found = ask(samples=1, temperature=0.0)
        if samples:
            cut = Truncated(source, top_k=top_k, top_p=top_p)
            found += evaluate(
                cut, mdp, chosen, samples=samples, temperature=temperature, seed=seed, scorer=scorer, progress=count
            )
        worse = contrary(policy, partial(ask, samples=1, temperature=0.0))
    questions = held_out_problems(mdp.task.problems[i] for i in chosen)
    if out is not None:
        write_samples(out, found)
    summary = dict(summarise(found, [samples] if samples else [], questions))
    if worse and policy.goals is not None:
        share = accuracy(worse)
        summary[f"{GREEDY} {policy.goals.contrary}"] = Estimate(share.value, *share.interval, share.judged)
    return summary


def _asked(env: str, keys: Mapping[str, Any], holdout: str) -> tuple[TaskName, dict[str, Any]]:
    """The task whose problems are asked, and the settings of the environment."""
    if holdout not in HOLDOUTS:
        raise unknown("holdout", holdout, HOLDOUTS)
    task, _ = parse_env_id(env)
    settings = environment_keys(task, keys)
    if holdout == TEST:
        return task, settings if "split" in settings else held_out_keys(task, settings)
    if "split" in settings:
        raise UserError(f"split is {settings['split']!r}; with --holdout {holdout} leave it out")
    return validation_part(task), settings
