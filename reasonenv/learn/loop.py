"""The training loop, in the order in which things happen: plan, sample, verify, learn, evaluate, log, save."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from reasonenv.core import Batch, Group
from reasonenv.errors import UserError
from reasonenv.learn import checkpoint
from reasonenv.learn.agent import Agent, Budget, Metrics, Plan
from reasonenv.learn.contrast import ENOUGH, contrasting, missing_signal
from reasonenv.learn.curriculum import Curriculum
from reasonenv.learn.filters import correct, mixed, rewarded, sound
from reasonenv.learn.log import RunLog
from reasonenv.learn.memory import enough_memory
from reasonenv.learn.stop import Stop
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.rollout.groups import demonstrate, sample_groups
from reasonenv.sampling.sampler import MAX_GAP, Sampler
from reasonenv.seeding import generator
from reasonenv.stats import accuracy

SAVING_SHARE = 0.05  # of a run's time that saving may take; it is how far back a kill throws a run
MAX_ERRORS = 0.05  # share of verdicts that failed for our own reasons
MAX_INVALID = 0.05  # share of samples with a reward that is not finite
MAX_REFUSED = 5  # optimiser steps refused, their loss or gradient not being finite, without one that was taken
MAX_BATCHES = 10  # times the plan's problems that an agent may have sampled before it learns (DAPO's authors: 10)


@dataclass(frozen=True)
class Evaluation:
    """Figures on held-out problems, and a few answers as (question, response, verdict)."""

    metrics: Metrics
    answers: Sequence[tuple[str, str, str]]


Evaluate = Callable[[int], Evaluation]  # of the policy after so many iterations


@dataclass
class Progress:
    """What a run has used so far: all that resuming needs beside the tensors."""

    iteration: int = 0
    position: int = 0  # problems drawn so far
    rollouts: int = 0
    tokens: int = 0
    updates: int = 0
    refused: int = 0  # optimiser steps, since the last iteration with one that was taken
    right: int = 0  # rollouts verified as correct
    contrasts: int = 0  # groups with different rewards; see `learn/contrast.py`
    seconds: float = field(default=0.0)


def draw(
    mdp: ReasoningMDP, seed: int, position: int, count: int, exclude: frozenset[str] = frozenset()
) -> tuple[list[int], int]:
    """The next `count` problems of an endless shuffled walk through the task, and the position after them.

    Those in `exclude` are passed over; where a whole epoch would be, it is walked as if nothing were excluded.
    """
    problems = mdp.task.problems
    chosen: list[int] = []
    while len(chosen) < count:
        epoch, start = divmod(position, len(problems))
        order = generator(seed, "problems", epoch).permutation(len(problems)).tolist()
        if exclude and all(problems[i].id in exclude for i in order):
            exclude = frozenset()
        for i in order[start:]:
            position += 1
            if not exclude or problems[i].id not in exclude:
                chosen.append(i)
                if len(chosen) == count:
                    break
    return chosen, position


def experience(
    agent: Agent,
    plan: Plan,
    sampler: Sampler,
    mdp: ReasoningMDP,
    seed: int,
    at: Progress,
    progress: Callable[[int], None],
) -> list[Group]:
    """What the plan asks for, sampled and verified, and then what the agent still wants, up to `MAX_BATCHES` plans."""
    count = len(mdp.task.problems) if plan.problems is None else plan.problems

    def more(problems: int, *path: int | str) -> list[Group]:
        drawn, at.position = draw(mdp, seed, at.position, problems, plan.exclude)
        if plan.source == "reference":
            progress(problems)
            return demonstrate(mdp, drawn)
        path = (seed, "rollout", at.iteration, *path)
        return sample_groups(
            sampler, mdp, drawn, plan.samples, temperature=plan.temperature, seed=path, progress=progress
        )

    groups = more(count)
    while wanted := min(agent.wanted(groups), count, MAX_BATCHES * count - len(groups)):
        groups += more(wanted, "refill", len(groups))
    return groups


def describe(groups: Sequence[Group]) -> Metrics:
    """The numbers of the trajectories themselves, without an accuracy if none of their answers could be judged."""
    rows = [t for g in groups for t in g.trajectories]
    share = accuracy(t.verdict for t in rows)
    judged: Metrics = {}
    if share.judged:
        low, high = share.interval
        judged = {"accuracy": share.value, "accuracy/low": low, "accuracy/high": high}
    finite = [t.ret for t in rows if rewarded(t)]
    return {
        "reward": float(np.mean(finite)) if finite else 0.0,
        **judged,
        "length": float(np.mean([len(t.tokens) for t in rows])),
        "truncated": float(np.mean([t.truncated for t in rows])),
        "verifier_errors": share.unjudged,
        "rewards/invalid": (len(rows) - len(finite)) / len(rows),
        "groups/sampled": float(len(groups)),
        "groups/mixed": len(mixed(sound(groups))) / len(groups),
    }


def fit(
    agent: Agent,
    sampler: Sampler,
    course: ReasoningMDP | Curriculum,
    *,
    iterations: int,
    seed: int,
    out: Path,
    evaluate: Evaluate | None = None,
    eval_every: int = 10,
    judge: Callable[[Sequence[Group]], list[Group]] | None = None,
    changed_data: bool = False,
    quiet: bool = False,
) -> Progress:
    """Trains `agent` for `iterations` on one process, or on those of a curriculum.

    Leaves `metrics.jsonl`, `tensorboard/` and two checkpoints in `out`. Called again on the same folder it goes on from
    the last sound checkpoint and ends as if it had never stopped: bit for bit on a CPU. Ctrl-C makes one. `evaluate` is
    called before the first iteration, every `eval_every`, and after the last. `judge`, if given, puts its own rewards
    in place of the environment's. `changed_data`: going on with other problems than those of the checkpoint is meant.
    """
    course = course if isinstance(course, Curriculum) else Curriculum((course,))
    data, checkpoints = course.fingerprint, out / "checkpoints"
    at = Progress()
    if saved := checkpoint.newest(checkpoints):
        tensors, state = saved
        if state["data"] != data and not changed_data:
            task = course.levels[0].task
            raise UserError(changed(task.name, task.split, out))
        agent.load_state_dict(tensors)
        at = Progress(**state["progress"])
    synced = sampler.sync(at.iteration)
    plan, mdp = agent.plan(Budget(at.iteration, iterations)), course.process(at.iteration, iterations)
    each = (len(mdp.task.problems) if plan.problems is None else plan.problems) * plan.samples
    unit = "rollouts" if plan.source == "policy" else "demonstrations"
    log = RunLog(out, iteration=at.iteration, used=at.rollouts, budget=each * iterations, unit=unit, quiet=quiet)
    agent.heartbeat = log.doing
    agent.refused = lambda batch: keep_refused(out, at.iteration, batch)
    started, next_save = time.monotonic() - at.seconds, 0.0
    rest = replace(at)  # between two iterations, where the agent is

    def save() -> str:
        if rest.iteration:
            log.sync()
            state = {"progress": vars(rest), "data": data}
            checkpoint.save(checkpoints, rest.iteration, agent.state_dict(), state)
        return f"{rest.iteration} of {iterations} iterations are saved"

    with closing(log), Stop(log.say, save) as stop:
        if at.iteration == 0:
            log.row({**vars(at), **synced, **(evaluate(0).metrics if evaluate else {})})
        while at.iteration < iterations:
            budget = Budget(at.iteration, iterations)
            plan, mdp = agent.plan(budget), course.process(at.iteration, iterations)
            level = course.told(at.iteration, iterations)
            log.doing("sampling")
            clock = time.monotonic()
            groups = experience(agent, plan, sampler, mdp, seed, at, log.used)
            groups = judge(groups) if judge else groups
            sampling_seconds = time.monotonic() - clock
            found = describe(groups) if plan.source == "policy" else {}
            if short := agent.wanted(groups):
                log.say(f"iteration {at.iteration}: sampled {len(groups)} problems and still wanted {short} more")
            stop.hold()
            log.doing("learning")
            sampler.release()
            with enough_memory(agent):
                learned = agent.learn(groups, budget)
            at.iteration += 1
            known = at.rollouts
            at.rollouts += sum(len(g.trajectories) for g in groups)
            at.right += sum(len(correct(g.trajectories)) for g in groups)
            at.contrasts += contrasting(agent, sound(groups))
            lack = missing_signal(agent, rollouts=at.rollouts, right=at.right, contrasts=at.contrasts)
            if lack and known < ENOUGH <= at.rollouts:
                log.say(lack)
            fresh = sum(len(t.tokens) for g in groups for t in g.trajectories)
            at.tokens += fresh
            updates, refused = int(learned.pop("updates")), int(learned.get("updates/refused", 0))
            if not updates and not refused:
                log.say(f"iteration {budget.iteration}: none of {len(groups)} groups teaches, the policy stays")
            at.updates += updates
            at.refused = 0 if updates else at.refused + refused
            due = at.iteration % eval_every == 0 or at.iteration == iterations
            # Where only demonstrations are learned from, nobody draws until the next evaluation.
            draws = due or agent.plan(Budget(at.iteration, iterations)).source == "policy"
            synced = sampler.sync(at.iteration) if draws else {}
            log.doing("evaluating" if due else "")
            evaluated = evaluate(at.iteration) if evaluate and due else Evaluation({}, [])
            at.seconds = time.monotonic() - started
            row: dict[str, Any] = {
                **vars(at),
                **found,
                **level,
                "tokens_per_second": fresh / max(sampling_seconds, 1e-9),
                **learned,
                **synced,
                **evaluated.metrics,
            }
            log.row(row)
            if due:
                log.table(row)
                log.answers(at.iteration, evaluated.answers)
            _refuse(row, out)
            rest = replace(at)
            if time.monotonic() >= next_save or at.iteration == iterations:
                clock = time.monotonic()
                save()
                next_save = time.monotonic() + (time.monotonic() - clock) / SAVING_SHARE
            stop.release()
    return at


def changed(task: str, split: str, out: Path, *, finished: bool = False) -> str:
    """What is said of a run whose problems are no longer the ones that it began with."""
    ways = "use another --out" if finished else "use another --out, or go on with them by --changed-data"
    return f"the problems of {task}, split {split}, have changed since {out} was begun; {ways}"


def keep_refused(out: Path, iteration: int, batch: Batch) -> None:
    """Leaves the first batch of an iteration whose step was refused in `out/refused`, for inspection."""
    path = out / "refused" / f"{iteration:08d}.safetensors"
    if not path.exists():
        checkpoint.save_batch(path, batch)


def _refuse(row: Metrics, out: Path) -> None:
    """Stops a run whose numbers cannot be believed."""
    if row.get("gap/mean", 0.0) > MAX_GAP:
        raise UserError(
            f"sampler and trainer disagree by {row['gap/mean']:.3f} nats a token (limit {MAX_GAP}): the rollouts are "
            "not from the policy that is trained; use float32 (dtype=float32) or the torch sampler"
        )
    if row.get("verifier_errors", 0.0) > MAX_ERRORS:
        raise UserError(
            f"{row['verifier_errors']:.1%} of the verdicts failed (limit {MAX_ERRORS:.0%}); see metrics.jsonl"
        )
    if row.get("rewards/invalid", 0.0) > MAX_INVALID:
        raise UserError(
            f"{row['rewards/invalid']:.1%} of the samples have a reward that is not finite (limit {MAX_INVALID:.0%}); "
            "correct the reward of the environment"
        )
    if row["refused"] >= MAX_REFUSED:
        raise UserError(
            f"{row['refused']} optimiser steps in a row had a loss or gradient that is not finite (limit "
            f"{MAX_REFUSED}); none was taken and the first batch of each iteration is in {out / 'refused'}; "
            "use a lower lr or dtype=float32"
        )
