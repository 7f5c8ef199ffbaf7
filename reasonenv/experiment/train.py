"""From the description of a run to a trained policy, its answers and its summary in a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from reasonenv.catalog import find_agent
from reasonenv.core import Group
from reasonenv.errors import UserError
from reasonenv.experiment.claim import SUMMARY, check_claim, claim
from reasonenv.experiment.config import RunConfig, fingerprints, processes
from reasonenv.experiment.held_out import (
    HeldOut,
    HeldOutChoice,
    HeldOutScores,
    area_under_curve,
    base,
    contrary,
    evaluate,
    records,
)
from reasonenv.experiment.identity import code_of
from reasonenv.experiment.manifest import CARD, card, reproducibility, stored_data
from reasonenv.experiment.scoring import wins
from reasonenv.experiment.token_records import Watch, rollouts
from reasonenv.experiment.weights import weights_of
from reasonenv.learn.agent import Agent
from reasonenv.learn.contrast import missing_signal
from reasonenv.learn.curriculum import Curriculum
from reasonenv.learn.fixed import Fixed
from reasonenv.learn.judge import judged
from reasonenv.learn.log import board_curve
from reasonenv.learn.loop import Progress, changed, fit
from reasonenv.learn.memory import peak_memory
from reasonenv.learn.rounds import Rounds
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.measures.discovery import BASE, Draws
from reasonenv.measures.metrics import summarise
from reasonenv.measures.parquet import write_records
from reasonenv.measures.provenance import write_solved
from reasonenv.measures.questions import PROBLEMS as ASKED
from reasonenv.measures.questions import write_questions
from reasonenv.measures.rollouts import HELD_OUT, PROBLEMS, SAMPLES, Rollout
from reasonenv.measures.samples import EVALUATION, Sample, read_samples, write_samples
from reasonenv.measures.training_set import TRAINING_SET, Solution
from reasonenv.policy.checkpointing import checkpoint_layers
from reasonenv.policy.hf_policy import HFPolicy
from reasonenv.policy.lora import add_adapter
from reasonenv.policy.microbatch import TOKENS_PER_MICROBATCH
from reasonenv.policy.pretrained import load_policy
from reasonenv.policy.value_head import load_scorer, scorer_folder
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling import check_sampler, make_sampler
from reasonenv.sampling.sampler import Sampler
from reasonenv.stats import accuracy
from reasonenv.storage import check_free, read_record, replace
from reasonenv.tasks import reference_solution

HELD_OUT_SAMPLES = 4  # a problem, on which a reward model is measured


def train(
    run: RunConfig,
    out: Path,
    *,
    places: Mapping[str, Path] = MappingProxyType({}),
    changed_data: bool = False,
    changed_code: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Trains, or goes on training, and returns the summary that it leaves as `out/summary.json`.

    `places` says where the policies and reward models are that the run does not call by a name to be found. A run whose
    data have changed since it began is refused, unless `changed_data`; so is one whose code has, unless `changed_code`.
    A finished run is refused in any case, and so is one that started from other weights.

    Leaves `out/run.json` (all settings and the hashes of the code), `out/code` (the files of that),
    `out/environment.json` (what it ran on), `out/policy` (a Hugging Face folder) or `out/scorer` (a reward model),
    `out/problems.jsonl` (what is held out), `out/evaluations/` (answers to it along the way), `out/evaluation.parquet`
    (the last, with `eval_samples` answers a problem), `out/winning.jsonl` (of what it solves), `out/base.parquet` (with
    `base_samples`, what it can solve), `out/training_set.parquet` (of an agent that imitates one), `out/rollouts/`
    (some, token by token), `metrics.jsonl` and `tensorboard/`. An agent that does not learn leaves answers alone.
    """
    course, held_out = processes(run)
    code = code_of(run, *(process.task for process in (*course.levels, held_out)))
    weights = weights_of(run, places)
    check_claim(out, run, code, changed_code=changed_code, weights=weights)
    check_free(out)
    summary_path = out / SUMMARY
    if summary_path.exists():
        _check_data(run, out, course, held_out, finished=True)
        return read_record(summary_path)
    kind = find_agent(run.agent)
    check_sampler(run.sampler, run.address)
    orm, rank = (None if name is None else str(places.get(name, name)) for name in (run.orm, run.rank))
    for name in filter(None, (orm, rank)):
        scorer_folder(name)
    policy = _policy(run, places)
    course, held_out = processes(run, policy.tokenizer)
    for process in (*course.levels, held_out):
        process.fits(policy.context, name=run.policy)
    if run.lora is not None:
        add_adapter(policy, run.lora, seed=run.seed)
    if run.checkpointing:
        checkpoint_layers(policy)
    keys = {key: str(places[value]) if value in places else value for key, value in run.agent_keys.items()}
    agent = kind(policy, kind.Config(**keys), seed=run.seed)
    falls = str(run.env_keys.get("reward", "sparse"))
    size = _tokens_per_microbatch(agent)
    judge = None
    if orm is not None:
        judge = partial(judged, scorer=load_scorer(orm, policy), falls=falls, tokens_per_microbatch=size)
    made = {"dtype": str(policy.model.dtype).removeprefix("torch."), "env_keys.max_tokens": held_out.max_tokens}
    folder = claim(out, run, code, changed_code=changed_code, made=made, weights=weights)
    with closing(make_sampler(run.sampler, policy, address=run.address)) as sampler, folder:
        _write_card(run, out, course, held_out, changed_data, quiet)
        watch = _watch(run, agent, sampler, held_out, out)
        agent.observed = Watch(out, policy, every=run.eval_every, tokens_per_microbatch=size)
        if isinstance(agent, Fixed):
            used = Progress()
            for iteration in (0, run.iterations):
                watch(iteration)
        else:
            used = fit(
                agent,
                sampler,
                course,
                iterations=run.iterations,
                seed=run.seed,
                out=out,
                evaluate=watch,
                eval_every=run.eval_every,
                judge=judge,
                changed_data=changed_data,
                quiet=quiet,
            )
        last = read_samples(watch.path(run.iterations))
        if agent.scorer is not None:
            agent.scorer.save(out / "scorer")
            told: dict[str, Any] = {"auc": area_under_curve(last)}
        else:
            told = _contrary(run, policy, sampler, held_out, out)
            if not isinstance(agent, Fixed):
                policy.save(out / "policy")
        groups: list[Group] = []
        if agent.scorer is None and run.eval_samples:
            drawn = agent.sampler(sampler) if isinstance(agent, Fixed) else sampler
            groups = _sampled(run, drawn, held_out)
            initial = None
            if used.updates and policy.goals is None:  # behind goals the same text is another sequence
                initial = _policy(run, places)
                write_solved(out / "winning.jsonl", wins(groups, initial, tokens_per_microbatch=size))
            scorer = None if rank is None else load_scorer(rank, policy)
            last += records(groups, held_out, greedy=False, scorer=scorer, initial=initial, tokens_per_microbatch=size)
        if isinstance(agent, Rounds):
            write_records(out / TRAINING_SET, Solution, _training_set(agent))
        if agent.scorer is None and not isinstance(agent, Fixed):
            _keep_rollouts(run, policy, sampler, held_out, groups, out, tokens_per_microbatch=size)
        if run.base_samples:
            write_records(out / BASE, Draws, _base(run, sampler, held_out))
        write_questions(out / ASKED, (held_out.task.problems[i] for i in _problems(run, held_out)))
        write_samples(out / EVALUATION, last)
        board_curve(out, "eval/pass@k", _passes(last, run.eval_samples))
        gain = watch.gain(0, run.iterations)
        summary = {
            "before": watch.accuracy(0),
            "after": watch.accuracy(run.iterations),
            "gain": {"value": gain.value, "low": gain.low, "high": gain.high},
            "problems": gain.questions,
            "memory": peak_memory(policy.device) / 2**20,  # MiB
            "signal": missing_signal(agent, rollouts=used.rollouts, right=used.right, contrasts=used.contrasts),
            **told,
            **vars(used),
        }
        replace(summary_path, json.dumps(summary, indent=1))
        return summary


def _write_card(
    run: RunConfig, out: Path, course: Curriculum, held_out: ReasoningMDP, changed_data: bool, quiet: bool
) -> None:
    """Leaves `environment.json`. Raises `UserError` if the problems are not those that an earlier one tells of."""
    path = out / CARD
    if path.exists() and not changed_data:
        _check_data(run, out, course, held_out)
    data = fingerprints(run, course, held_out)
    level, why = reproducibility(device=run.device, sampler=run.sampler, address=run.address)
    now = card(device=run.device, data=data, level=level)
    earlier = read_record(path) if path.exists() else now
    other = [key for key in ("versions", "hardware", "threads") if earlier.get(key) != now[key]]
    if other:
        told = f"{' and '.join(other)} are not those with which {out} was begun"
        print(f"reasonenv: {told}; bits may differ from those of an uninterrupted run", file=sys.stderr)
    if not quiet:
        print(f"reproducibility: {level} ({why})")
    replace(path, json.dumps(now, indent=1))


def _check_data(
    run: RunConfig, out: Path, course: Curriculum, held_out: ReasoningMDP, *, finished: bool = False
) -> None:
    """Raises `UserError` if the problems are not those of which `environment.json` has the fingerprints."""
    stored = stored_data(out)
    for split, fingerprint in fingerprints(run, course, held_out).items():
        if stored.get(split) != fingerprint:
            raise UserError(changed(held_out.task.name, split, out, finished=finished))


def _policy(run: RunConfig, places: Mapping[str, Path]) -> HFPolicy:
    """Where the run begins."""
    return load_policy(str(places.get(run.policy, run.policy)), seed=run.seed, device=run.device, dtype=run.dtype)


def _watch(run: RunConfig, agent: Agent, sampler: Sampler, held_out: ReasoningMDP, out: Path) -> HeldOut:
    """What is measured along the way."""
    where = (sampler, held_out, out / "evaluations")
    named: dict[str, Any] = {"problems": run.eval_problems, "seed": run.seed}
    if isinstance(agent, Fixed):
        return HeldOutChoice(*where, **named, agent=agent)
    if agent.scorer is not None:
        samples, size = run.eval_samples or HELD_OUT_SAMPLES, _tokens_per_microbatch(agent)
        return HeldOutScores(*where, **named, scorer=agent.scorer, samples=samples, tokens_per_microbatch=size)
    return HeldOut(*where, **named)


def _tokens_per_microbatch(agent: Agent) -> int:
    """What the user allows to pass a model at once. An agent that learns nothing has no such number."""
    return int(getattr(agent.config, "tokens_per_microbatch", TOKENS_PER_MICROBATCH))


def _problems(run: RunConfig, held_out: ReasoningMDP) -> range:
    return range(min(run.eval_problems, len(held_out.task.problems)))


def _sampled(run: RunConfig, sampler: Sampler, held_out: ReasoningMDP) -> list[Group]:
    """The sampled answers of the end, at temperature 1."""
    path, problems = (run.seed, "evaluation"), _problems(run, held_out)
    return sample_groups(sampler, held_out, problems, run.eval_samples, temperature=1.0, seed=path)


def _base(run: RunConfig, sampler: Sampler, held_out: ReasoningMDP) -> list[Draws]:
    """What the trained policy solves in a base budget, against which others that start from it are held."""
    most, first = run.base_samples, min(run.eval_samples or run.base_samples, run.base_samples)
    return base(sampler, held_out, _problems(run, held_out), first=first, most=most, seed=run.seed)


def _training_set(agent: Rounds) -> list[Solution]:
    """What the agent imitates at the end, and the reference solutions of the same problems."""
    decode = agent.policy.tokenizer.decode
    solutions, problems = [], {}
    for t in agent.training_set:
        text = decode(t.tokens[: len(t.tokens) - t.terminated].tolist())
        solutions.append(Solution(t.problem.id, t.problem.question, False, t.verdict.correct, text))
        problems[t.problem.id] = t.problem
    for problem in problems.values():
        if problem.steps:
            text = reference_solution(problem)
            solutions.append(Solution(problem.id, problem.question, True, True, text))
    return solutions


def _passes(found: Sequence[Sample], samples: int) -> dict[int, float]:
    """pass@k at the powers of two up to the samples a problem."""
    ks = [2**i for i in range(samples.bit_length())]
    means = summarise(found, ks) if ks else {}
    return {k: means[f"pass@{k}"].value for k in ks if f"pass@{k}" in means}


def _keep_rollouts(
    run: RunConfig,
    policy: HFPolicy,
    sampler: Sampler,
    held_out: ReasoningMDP,
    drawn: Sequence[Group],
    out: Path,
    *,
    tokens_per_microbatch: int,
) -> None:
    """Answers to the first held-out problems, token by token: the greedy one, asked for again, and some of `drawn`."""
    first = _problems(run, held_out)[:PROBLEMS]
    greedy = sample_groups(sampler, held_out, first, 1, temperature=0.0, seed=(run.seed, "evaluation"))
    sampled = [Group(g.problem, g.trajectories[:SAMPLES]) for g in drawn[:PROBLEMS]]
    kept = []
    for source, groups in (("greedy", greedy), ("sampled", sampled)):
        kept += rollouts(groups, policy, source=source, tokens_per_microbatch=tokens_per_microbatch)
    write_records(out / HELD_OUT, Rollout, kept)


def _contrary(
    run: RunConfig, policy: HFPolicy, sampler: Sampler, held_out: ReasoningMDP, out: Path
) -> dict[str, float]:
    """How a policy behind goals answers when it is asked for the contrary."""
    ask = partial(evaluate, sampler, held_out, _problems(run, held_out), samples=1, temperature=0.0, seed=run.seed)
    found = contrary(policy, ask)
    if not found:
        return {}
    write_samples(out / "contrary.parquet", found)
    return {"contrary": accuracy(found).value}
