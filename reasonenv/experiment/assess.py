"""Figures of one policy on held-out problems, without training."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from reasonenv.catalog import parse_env_id
from reasonenv.errors import UserError
from reasonenv.experiment.config import EvalConfig, TaskName, check_writable
from reasonenv.experiment.held_out import contrary, evaluate
from reasonenv.experiment.validation import check_unseen, validation_part
from reasonenv.mdp.make import held_out_keys, make_mdp
from reasonenv.measures.metrics import GREEDY, summarise
from reasonenv.measures.questions import held_out_problems
from reasonenv.measures.samples import write_samples
from reasonenv.policy.pretrained import load_policy
from reasonenv.policy.value_head import load_scorer, scorer_folder
from reasonenv.sampling import check_sampler, make_sampler
from reasonenv.stats import Estimate, accuracy
from reasonenv.tasks import TEST


def assess(config: EvalConfig, *, out: Path | None = None, quiet: bool = False) -> Mapping[str, Estimate]:
    """Greedy accuracy and, with `samples` answers a problem, avg@k, maj@k and pass@k on `problems` of the test split.

    With `holdout` validation on those of the training split that runs with this setting do not train on; a policy that
    is known to have trained on them is refused.

    The samples are of `temperature`, and of the tokens that `top_k` and `top_p` leave (see `Sampling`).
    With the folder of a reward model also rerank@k and weighted@k; for a policy that is asked for a goal, the
    greedy accuracy when it is asked for the contrary.
    """
    samples, problems, seed = config.samples, config.problems, config.seed
    if config.orm is not None:
        scorer_folder(config.orm)
    if out is not None:
        check_writable(out)
        if out.suffix != ".parquet":
            raise UserError(f"--out is {out}; answers are stored as Parquet, give a name that ends in .parquet")
    check_sampler(config.sampler, config.address)
    task, settings = _asked(config)
    if config.holdout != TEST:
        for name in filter(None, (config.policy, config.orm)):
            check_unseen(name, config.env)
    make_mdp(task, **settings)  # refuses bad settings and missing data before the policy is loaded
    policy = load_policy(config.policy, seed=seed, device=config.device, dtype=config.dtype)
    scorer = None if config.orm is None else load_scorer(config.orm, policy)
    mdp = make_mdp(task, tokenizer=policy.tokenizer, **settings)
    mdp.fits(policy.context, name=config.policy)
    chosen = range(min(problems, len(mdp.task.problems)))
    asked = 1 + samples + (policy.goals is not None)
    with (
        closing(make_sampler(config.sampler, policy, address=config.address)) as source,
        tqdm(total=len(chosen) * asked, unit=" answers", dynamic_ncols=True, disable=quiet) as bar,
    ):

        def count(finished: int) -> None:
            bar.update(finished)

        ask = partial(evaluate, source, mdp, chosen, seed=seed, progress=count)
        found = ask(samples=1, temperature=0.0)
        if samples:
            found += ask(
                samples=config.samples,
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
                scorer=scorer,
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


def _asked(config: EvalConfig) -> tuple[TaskName, dict[str, Any]]:
    """The task whose problems are asked, and the settings of the environment."""
    task, _ = parse_env_id(config.env)
    settings = dict(config.env_keys)
    if config.holdout == TEST:
        return task, settings if "split" in settings else held_out_keys(task, settings)
    if "split" in settings:
        raise UserError(f"split is {settings['split']!r}; with holdout={config.holdout} leave it out")
    return validation_part(task), settings
