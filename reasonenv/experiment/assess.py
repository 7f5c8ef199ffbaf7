"""Figures of one policy on held-out problems, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from reasonenv.errors import UserError, listed
from reasonenv.experiment.config import EvalConfig
from reasonenv.experiment.processes import evaluation_process
from reasonenv.experiment.searching import check_search, open_search
from reasonenv.experiment.session import open_policy
from reasonenv.learn.evaluation import SEARCH, records, searched
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.measures.metrics import GREEDY, summarise
from reasonenv.measures.questions import held_out_problems
from reasonenv.measures.samples import Sample, hard_problems, write_samples
from reasonenv.policy.value_head import Scorer, load_scorer, scorer_folder
from reasonenv.rollout.groups import sample_groups
from reasonenv.rollout.search import roll_out
from reasonenv.sampling import check_sampler, make_sampler
from reasonenv.sampling.goal_sampler import conditioned_sampler
from reasonenv.sampling.sampler import Sampler
from reasonenv.stats import Estimate, accuracy, mean_interval
from reasonenv.storage import check_writable
from reasonenv.terminal import progress_bar, show

SHOWN = 10  # problems that are hard to verify


def assess(config: EvalConfig, *, out: Path | None = None, quiet: bool = False) -> Mapping[str, Estimate]:
    """Greedy accuracy and, with `samples` answers a problem, avg@k, maj@k and pass@k on held-out problems.

    With `holdout` validation on those of the training split that runs with this setting do not train on; a policy that
    is known to have trained on them is refused. The samples are of `temperature`, and of the tokens that `top_k` and
    `top_p` leave (see `Sampling`). With the folder of a reward model also rerank@k and weighted@k; of a policy that is
    conditioned on goals also the greedy accuracy behind the negated goal. With a `search` also the accuracy of the
    answers that it selects, and the tokens that it draws for a problem. Leaves every answer in the file `out`.
    """
    if config.orm is not None:
        scorer_folder(config.orm)
    if out is not None:
        check_writable(out, file=True)
        if out.suffix != ".parquet":
            raise UserError(f"--out is {out}; answers are stored as Parquet, give a name that ends in .parquet")
    check_sampler(config.sampler, config.address)
    process = evaluation_process(config)  # refuses bad settings and missing data before the policy is loaded
    check_search(config, process)
    policy = open_policy(config)
    scorer = None if config.orm is None else load_scorer(config.orm, policy)
    mdp = evaluation_process(config, policy.tokenizer)
    mdp.fits(policy.context, name=config.policy)
    problems = range(min(config.problems, len(mdp.task.problems)))
    answers = len(problems) * (1 + config.samples + (policy.goals is not None))
    searching = open_search(config, policy)
    negated: list[Sample] = []
    with (
        closing(make_sampler(config.sampler, policy, address=config.address)) as base,
        progress_bar(answers, "answers", quiet=quiet) as bar,
    ):
        measure = partial(evaluate, mdp=mdp, problems=problems, seed=config.seed, progress=bar.update)
        sampler = conditioned_sampler(base, policy, policy.goals)
        samples = measure(sampler, samples=1, temperature=0.0)
        if config.samples:
            samples += measure(
                sampler,
                samples=config.samples,
                temperature=config.temperature,
                top_k=config.top_k,
                top_p=config.top_p,
                scorer=scorer,
            )
        if searching is not None:
            draw = partial(roll_out, searching, sampler, mdp, problems, 1, temperature=config.temperature)
            samples += searched(draw(seed=(config.seed, SEARCH)), mdp)
        if policy.goals is not None:
            sampler = conditioned_sampler(base, policy, policy.goals.negated())
            negated = measure(sampler, samples=1, temperature=0.0)
    if out is not None:
        write_samples(out, samples)
    hard = hard_problems(samples)
    if hard and not quiet:
        show(f"{len(hard)} problems are hard to verify: {listed(sorted(hard), SHOWN)}")
    ks = [config.samples] if config.samples else []
    summary = dict(summarise(samples, ks, held_out_problems(mdp.task.problems[: config.problems])))
    if searching is not None:
        spent = [sample.search_tokens for sample in samples if sample.search_tokens is not None]
        summary["search_tokens"] = mean_interval(spent, high=float(config.search_tokens or 0))
    if policy.goals is not None:
        share = accuracy(negated)
        summary[f"{GREEDY} {policy.goals.negated_goal}"] = Estimate(share.value, *share.interval, share.judged)
    return summary


def evaluate(
    sampler: Sampler,
    mdp: ReasoningMDP,
    problems: Sequence[int],
    *,
    samples: int,
    temperature: float,
    seed: int,
    scorer: Scorer | None = None,
    **options: Any,
) -> list[Sample]:
    """`samples` answers to each problem, drawn with the `options` of `sample_groups`, scored if there is a `scorer`.

    Temperature 0 and one sample give the greedy accuracy.
    """
    path = (seed, "evaluation")
    groups = sample_groups(sampler, mdp, problems, samples, temperature=temperature, seed=path, **options)
    return records(groups, mdp, greedy=temperature == 0, scorer=scorer)
