"""From the settings of a run to a trained policy, its answers and its summary in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from traceback import walk_tb
from types import MappingProxyType
from typing import Any

from reasonenv.core import Group
from reasonenv.errors import UserError
from reasonenv.experiment.claim import Claim, on_its_device
from reasonenv.experiment.config import RunConfig, flat, resolved
from reasonenv.experiment.identity import code_of
from reasonenv.experiment.manifest import check_data, write_manifest
from reasonenv.experiment.processes import fingerprints, processes
from reasonenv.experiment.scoring import initial_logps, solved_problems
from reasonenv.experiment.session import Session, build, load
from reasonenv.experiment.token_records import rollouts
from reasonenv.experiment.weights import weights_of
from reasonenv.learn import checkpoint
from reasonenv.learn.agent import Agent
from reasonenv.learn.contrast import missing_signal
from reasonenv.learn.evaluation import records
from reasonenv.learn.log import Loggers, OpenLoggers, log_curve
from reasonenv.learn.loop import CHECKPOINTS, HARD_PROBLEMS, Loop, Progress
from reasonenv.learn.memory import peak_memory
from reasonenv.learn.method import Method
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.measures.discovery import BASE, Draws, base_draws
from reasonenv.measures.metrics import summarise
from reasonenv.measures.parquet import write_records
from reasonenv.measures.provenance import write_solved
from reasonenv.measures.questions import PROBLEMS as QUESTIONS
from reasonenv.measures.questions import write_questions
from reasonenv.measures.records import MANIFEST, RUN, SUMMARY, logged_rows
from reasonenv.measures.rollouts import HELD_OUT, PROBLEMS, SAMPLES, Rollout
from reasonenv.measures.samples import EVALUATION, Sample, hard_problems, read_samples, write_samples
from reasonenv.policy.value_head import load_scorer
from reasonenv.rollout.groups import sample_groups
from reasonenv.sampling.sampler import Sampler
from reasonenv.sources import is_users_code
from reasonenv.stats import accuracy
from reasonenv.storage import check_free, read_record
from reasonenv.storage import replace as write

NEGATED_GOAL = "negated_goal"  # key of the summary, and name of the file


def train(
    config: RunConfig,
    out: Path,
    *,
    places: Mapping[str, Path] = MappingProxyType({}),
    changed_data: bool = False,
    changed_code: bool = False,
    fresh_optimizer: bool = False,
    callbacks: Observer = SILENT,
    quiet: bool = False,
) -> dict[str, Any]:
    """Trains, or goes on training, and returns the summary that it leaves as `out/summary.json`.

    `places` says where the policies and reward models are that the run does not call by a name to be found. A run whose
    data have changed since it began is refused, unless `changed_data`; so is one whose code has, unless `changed_code`.
    A finished run is refused in any case, and so is one that started from other weights. One with fewer iterations goes
    on, if nothing that it did depends on their number: it ends as if it had been as long from the beginning. For that
    its last checkpoint must have the state of the optimiser; with `fresh_optimizer` it goes on without.

    Leaves `out/run.json` (all settings and the hashes of the code), `out/code` (the files of that),
    `out/environment.json` (what it ran on), `out/policy` (a Hugging Face folder) or `out/scorer` (a reward model),
    `out/problems.jsonl` (what is held out), `out/evaluations/` (answers to it along the way), `out/evaluation.parquet`
    (the last, with `eval_samples` answers a problem), `out/winning.jsonl` (of what it solves), `out/base.parquet` (with
    `base_samples`, what it can solve), `out/training_set.parquet` (of an agent that imitates one), `out/rollouts/`
    (some, token by token), `metrics.jsonl` and `tensorboard/`. A method that does not learn leaves answers alone.
    """
    check_free(out)
    config = on_its_device(config, out)
    curriculum, held_out = processes(config)
    data = fingerprints(config, curriculum, held_out)
    code = code_of(config, *(process.task for process in (*curriculum.levels, held_out)))
    claim = Claim(out, config, code, weights_of(config, places), changed_code, fresh_optimizer)
    claim.check()
    if (out / SUMMARY).exists() and not claim.extends(read_record(out / RUN)):
        check_data(out, data, held_out.task.name, finished=True)
        return read_record(out / SUMMARY)
    with naming_users_code():
        session = build(config, out, places=places)
        with closing(session.sampler), replace(claim, run=session.settled(config)).hold():
            if (out / MANIFEST).exists() and not changed_data:
                check_data(out, data, held_out.task.name)
            write_manifest(out, config, data, quiet=quiet)
            return run(session, callbacks=callbacks, changed_data=changed_data, quiet=quiet)


@contextmanager
def naming_users_code() -> Iterator[None]:
    """What a user's agent, reward or other code raises within it is a `UserError` that names the line."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        lines = [frame for frame, _ in walk_tb(error.__traceback__) if is_users_code(frame.f_globals)]
        if not lines:
            raise
        code, number = lines[-1].f_code, lines[-1].f_lineno
        place = f"{code.co_filename}, line {number}, {code.co_qualname}"
        raise UserError(f"{type(error).__name__}: {error}, raised by your code in {place}") from error


def run(
    session: Session, *, callbacks: Observer = SILENT, changed_data: bool = False, quiet: bool = False
) -> dict[str, Any]:
    """Trains, measures, and leaves everything in the folder of the run, the summary last."""
    config, out, method = session.config, session.out, session.method
    progress = _learn(session, callbacks=callbacks, changed_data=changed_data, quiet=quiet)
    if not session.evaluator.path(config.iterations).is_file():  # it ends before where it was to be evaluated next
        session.evaluator(config.iterations)
    _save(method, out)
    summary = session.evaluator.summary(config.iterations)
    used = {"rollouts": progress.rollouts, "right": progress.right, "contrasts": progress.contrasts}
    summary |= {
        "memory": peak_memory(session.policy.device) / 2**20,  # MiB
        "signal": missing_signal(method, **used),
    }
    negated = session.evaluator.negated()
    if negated:
        write_samples(out / f"{NEGATED_GOAL}.parquet", negated)
        summary[NEGATED_GOAL] = accuracy(negated).value
    _write_answers(session, progress)
    if config.base_samples:
        write_records(out / BASE, Draws, _base(session))
    problems = session.held_out.mdp.task.problems
    write_questions(out / QUESTIONS, (problems[i] for i in session.held_out.problems))
    summary["hard_to_verify"] = {
        "training": sorted({problem for row in logged_rows(out) for problem in row.get(HARD_PROBLEMS, ())}),
        "held_out": sorted(hard_problems(read_samples(out / EVALUATION))),
    }
    summary |= vars(progress)
    write(out / SUMMARY, json.dumps(summary, indent=1))
    checkpoint.finish(out / CHECKPOINTS, config.keep_checkpoints)
    return summary


def _save(method: Method, out: Path) -> None:
    """Leaves what was trained. Raises `UserError` if it cannot: safetensors and tokenizers do not raise `OSError`."""
    from safetensors import SafetensorError

    try:
        method.save(out)
    except Exception as error:
        if not isinstance(error, (OSError, SafetensorError)) and type(error) is not Exception:
            raise
        raise UserError(
            f"cannot save what was trained in {out} ({error}); mend that and run the same command again"
        ) from error


def _learn(session: Session, *, callbacks: Observer, changed_data: bool, quiet: bool) -> Progress:
    """Trains an agent; measures what does not learn as it is before and after."""
    config = session.config
    if not isinstance(session.method, Agent):
        for iteration in (0, config.iterations):
            session.evaluator(iteration)
        return Progress()
    loop = Loop(
        session.method,
        session.sampler,
        session.curriculum,
        iterations=config.iterations,
        seed=config.seed,
        out=session.out,
        evaluate=session.evaluator,
        eval_every=config.eval_every,
        rescore=session.rescore,
        recorder=session.recorder,
        callbacks=callbacks,
        loggers=_loggers(session),
        keep_checkpoints=max(2, config.keep_checkpoints or 0),  # one of them may be damaged
        changed_data=changed_data,
        quiet=quiet,
    )
    return loop.run()


def _write_answers(session: Session, progress: Progress) -> None:
    """Leaves the last answers and those sampled beside them, what is solved among these, and some token by token."""
    config, out, method = session.config, session.out, session.method
    size = method.tokens_per_microbatch
    answers = session.evaluator.stored(config.iterations)
    groups = session.evaluator.sampled(config.eval_samples)
    if groups:
        scorer = None if config.rank is None else load_scorer(config.rank, session.policy)
        sampled = records(groups, session.held_out.mdp, greedy=False, scorer=scorer, tokens_per_microbatch=size)
        drawn = not any(sample.selected for sample in sampled)
        # Behind goals the same text is another sequence, and what was selected is no draw that could be weighed.
        if progress.updates and method.goals is None and drawn:
            initial = load(config)
            write_solved(out / "winning.jsonl", solved_problems(groups, initial, tokens_per_microbatch=size))
            logps = initial_logps(groups, initial, tokens_per_microbatch=size)
            sampled = [replace(s, initial_logp=logp) for s, logp in zip(sampled, logps, strict=True)]
        answers += sampled
    if method.trains_policy:
        _write_rollouts(session, groups)
    write_samples(out / EVALUATION, answers)
    if config.eval_samples:
        log_curve(_loggers(session)(None), "eval/pass@k", _passes(answers, config.eval_samples))


def _loggers(session: Session) -> OpenLoggers:
    """What opens the loggers of the run."""
    return partial(Loggers, session.config.logger, session.out, flat(resolved(session.config)))


def _write_rollouts(session: Session, sampled: Sequence[Group]) -> None:
    """Answers to the first held-out problems, token by token: the greedy one, drawn again, and some of `sampled`."""
    method = session.method
    first = replace(session.held_out, problems=session.held_out.problems[:PROBLEMS])
    greedy = first.draw(method.policy_sampler(session.sampler), 1, 0.0)
    some = [Group(g.problem, g.trajectories[:SAMPLES]) for g in sampled[:PROBLEMS]]
    rows: list[Rollout] = []
    for source, groups in (("greedy", greedy), ("sampled", some)):
        size = method.tokens_per_microbatch
        rows += rollouts(groups, session.policy, source=source, goals=method.goals, tokens_per_microbatch=size)
    write_records(session.out / HELD_OUT, Rollout, rows)


def _base(session: Session) -> list[Draws]:
    """What the policy solves in a base budget, with which others that start from it are compared."""
    config, held_out = session.config, session.held_out
    sampler, most = session.method.policy_sampler(session.sampler), config.base_samples
    first = min(config.eval_samples or most, most)
    return base(sampler, held_out.mdp, held_out.problems, first=first, most=most, seed=config.seed)


def base(
    sampler: Sampler, mdp: ReasoningMDP, problems: Sequence[int], *, first: int, most: int, seed: int
) -> list[Draws]:
    """The base budget of each problem: `first` samples at temperature 1, up to `most` where none of them is right.

    Their seeds are a path of their own, so they are independent of every evaluation.
    """

    def count(chosen: Sequence[int], samples: int, number: int) -> list[tuple[int, int]]:
        counts = []
        for group in sample_groups(sampler, mdp, chosen, samples, temperature=1.0, seed=("base", seed, number)):
            verdicts = [t.verdict for t in group.trajectories if t.verdict.checked]
            counts.append((len(verdicts), sum(verdict.correct for verdict in verdicts)))
        return counts

    counts = base_draws(count, problems, first=first, most=most)
    return [Draws(mdp.task.problems[i].id, drawn, right) for i, (drawn, right) in counts.items()]


def _passes(samples: Sequence[Sample], count: int) -> dict[int, float]:
    """pass@k at the powers of two up to `count` samples a problem."""
    ks = [2**i for i in range(count.bit_length())]
    means = summarise(samples, ks) if ks else {}
    return {k: means[f"pass@{k}"].value for k in ks if f"pass@{k}" in means}
