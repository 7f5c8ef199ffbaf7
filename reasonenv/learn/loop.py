"""The training loop, in the order in which things happen: plan, sample, verify, learn, evaluate, log, save."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from reasonenv.core import HARD_TO_VERIFY, Batch, Group, Reason
from reasonenv.errors import UserError, listed
from reasonenv.learn import checkpoint
from reasonenv.learn.agent import Agent, Budget, Metrics, Plan
from reasonenv.learn.contrast import ENOUGH, contrasting, missing_signal
from reasonenv.learn.curriculum import Curriculum
from reasonenv.learn.evaluation import Evaluation
from reasonenv.learn.filters import correct, nonconstant, rewarded, usable
from reasonenv.learn.log import OpenLoggers, RunLog, no_loggers
from reasonenv.learn.memory import enough_memory
from reasonenv.learn.observer import SILENT, Observer
from reasonenv.learn.stop import Stop, Stopped
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.rollout.groups import demonstrate
from reasonenv.rollout.search import Rollouts, roll_out
from reasonenv.sampling.sampler import MAX_GAP, Sampler
from reasonenv.seeding import generator
from reasonenv.stats import accuracy, means

SAVING_SHARE = 0.05  # of a run's time that saving may take; it is how far back a kill throws a run
MAX_ERRORS = 0.05  # share of verdicts on which the verifier broke
MAX_HARD = 0.5  # share of verdicts that their problems made impossible
HARD_PROBLEMS = "hard_problems"  # in a row of the log: the ids of these
MAX_INVALID = 0.05  # share of samples with a reward that is not finite
MAX_SKIPPED = 5  # optimiser steps skipped, their loss or gradient not being finite, without one that was taken
CHECKPOINTS = "checkpoints"  # folder in a run
TOTAL = "iterations"  # in a checkpoint: of the whole run, if anything so far depends on their number
MAX_BATCHES = 10  # times the plan's problems that an agent may have sampled before it learns (DAPO's authors: 10)


@dataclass(frozen=True)
class Progress:
    """What a run has used so far: all that resuming needs beside the tensors. The names are those of the log."""

    iteration: int = 0
    position: int = 0  # problems drawn so far
    rollouts: int = 0  # responses drawn to their end, those that a search threw away among them
    tokens: int = 0  # drawn, or demonstrated
    updates: int = 0
    refused: int = 0  # optimiser steps that were skipped since the last iteration with one that was taken
    skipped: int = 0  # optimiser steps that were skipped in all
    right: int = 0  # samples verified as correct
    contrasts: int = 0  # groups with different rewards; see `learn/contrast.py`
    seconds: float = 0.0

    def after(self, agent: Agent, rollouts: Rollouts, position: int, *, updates: int, skipped: int) -> Progress:
        """After an iteration in which `agent` has learned from `rollouts` by so many optimiser steps."""
        groups = rollouts.groups
        trajectories = [t for g in groups for t in g.trajectories]
        return replace(
            self,
            iteration=self.iteration + 1,
            position=position,
            rollouts=self.rollouts + sum(rollouts.responses),
            tokens=self.tokens + sum(rollouts.tokens),
            updates=self.updates + updates,
            refused=0 if updates else self.refused + skipped,
            skipped=self.skipped + skipped,
            right=self.right + len(correct(trajectories)),
            contrasts=self.contrasts + contrasting(agent, usable(groups)),
        )


class WatchedBudget(Budget):
    """Calls `note` when somebody reads how many iterations there are: a longer run is another one from there on."""

    def __init__(self, iteration: int, iterations: int, note: Callable[[], None]) -> None:
        for name, value in (("iteration", iteration), ("_total", iterations), ("_note", note)):
            object.__setattr__(self, name, value)

    @property
    def iterations(self) -> int:
        self._note()  # type: ignore[attr-defined]
        return int(self._total)  # type: ignore[attr-defined]


def next_problems(
    mdp: ReasoningMDP, seed: int, position: int, count: int, exclude: frozenset[str] = frozenset()
) -> tuple[list[int], int]:
    """The next `count` problems of an endless shuffled walk through the task, and the position after them.

    Those in `exclude` are passed over; an epoch of which nothing would be left is walked as if nothing were excluded.
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


def describe(groups: Sequence[Group]) -> Metrics:
    """The numbers of the trajectories themselves, without an accuracy if none of their answers could be scored.

    Those of samples that were selected say nothing of the policy, so they bear other names: `selected/reward`, ...
    """
    rows = [t for g in groups for t in g.trajectories]
    if not rows:
        return {"groups/sampled": float(len(groups))}  # no search finished a response
    share = accuracy(t.verdict for t in rows)
    finite = [t.ret for t in rows if rewarded(t)]
    metrics = {"reward": float(np.mean(finite)) if finite else 0.0}
    if share.judged:
        low, high = share.interval
        score = float(np.mean([t.verdict.score for t in rows if t.verdict.checked]))
        metrics |= {"accuracy": share.value, "accuracy/low": low, "accuracy/high": high, "score": score}
    for name, value in means(t.metrics for t in rows).items():
        metrics[f"metrics/{name}"] = value
    metrics |= {
        "length": float(np.mean([len(t.tokens) for t in rows])),
        "truncated": float(np.mean([t.truncated for t in rows])),
    }
    if any(t.selected for t in rows):
        metrics = {f"selected/{name}": value for name, value in metrics.items()}
    return metrics | {
        **share.unjudged,
        "rewards/invalid": (len(rows) - len(finite)) / len(rows),
        "groups/sampled": float(len(groups)),
        "groups/mixed": len(nonconstant(usable(groups))) / len(groups),
    }


def hard_problems(groups: Iterable[Group]) -> list[str]:
    """The ids of the problems of which an answer was not judged because of the problem."""
    hard = set()
    for group in groups:
        if any(t.verdict.reason in HARD_TO_VERIFY for t in group.trajectories):
            hard.add(group.problem.id)
    return sorted(hard)


@dataclass
class Loop(Observer):
    """Trains `agent` for `iterations` on the processes of a curriculum.

    Leaves `metrics.jsonl` and its newest checkpoints in `out`. Run again on the same folder it goes on from
    the last intact checkpoint and ends as if it had never stopped: bit for bit on a CPU. Ctrl-C makes one.
    Raises `UserError` for other problems than those of the checkpoint, and for numbers that cannot be believed.
    """

    agent: Agent
    sampler: Sampler
    curriculum: Curriculum
    iterations: int
    seed: int
    out: Path
    evaluate: Callable[[int], Evaluation] | None = None  # before the first iteration, every `eval_every`, at the end
    eval_every: int = 10
    rescore: Callable[[Sequence[Group]], list[Group]] | None = None  # puts other rewards in place of the environment's
    recorder: Observer = SILENT
    callbacks: Observer = SILENT  # the user's own, who may stop the run
    loggers: OpenLoggers = no_loggers
    keep_checkpoints: int = 2  # of the newest
    changed_data: bool = False  # going on with other problems than those of the checkpoint is meant
    quiet: bool = False

    progress: Progress = field(init=False)  # of the last complete iteration, where the agent is
    next_save: float = field(init=False, default=0.0)
    total_matters: bool = field(init=False, default=False)  # whether anything so far depends on `iterations`
    hard_problems: set[str] = field(init=False, default_factory=set)  # that somebody was told of

    def run(self) -> Progress:
        """Trains to the end, or until a signal, at which it saves and raises `KeyboardInterrupt`.

        Where a callback stops it, it saves and raises `Stopped`.
        """
        self.progress = self._restored()
        self.started = time.monotonic() - self.progress.seconds
        synced = self.sampler.sync(self.progress.iteration)
        with closing(self._open_log()) as self.log, Stop(self.log.say, self.save) as self.stop:
            if self.progress.iteration == 0:
                evaluated = self.evaluate(0).metrics if self.evaluate else {}
                self.log.row({**vars(self.progress), **synced, **evaluated})
            while self.progress.iteration < self.iterations:
                self.step()
        return self.progress

    def step(self) -> None:
        """One iteration, which counts from its end on: a signal before that waits for it or undoes it."""
        budget = self._budget(self.progress.iteration)
        plan = self.agent.plan(budget)
        clock = time.monotonic()
        rollouts, position = self.experience(plan)
        groups = rollouts.groups
        sampling_seconds = time.monotonic() - clock
        self.stop.hold()
        learned = self._learn(groups, budget)
        updates, skipped = int(learned.pop("updates")), int(learned.get("updates/refused", 0))
        progress = self.progress.after(self.agent, rollouts, position, updates=updates, skipped=skipped)
        hard = hard_problems(groups)
        self._warn(progress, len(groups), hard, updates=updates, skipped=skipped)
        due = progress.iteration % self.eval_every == 0 or progress.iteration == self.iterations
        # Where only demonstrations are learned from, nothing is drawn until the next evaluation.
        draws = due or self.agent.plan(self._budget(progress.iteration)).source == "policy"
        synced = self.sampler.sync(progress.iteration) if draws else {}
        self.log.doing("evaluating" if due else "")
        evaluation = self.evaluate(progress.iteration) if self.evaluate and due else Evaluation({}, [])
        progress = replace(progress, seconds=time.monotonic() - self.started)
        row: dict[str, Any] = {
            **vars(progress),
            **(describe(groups) if plan.source == "policy" else {}),
            **({HARD_PROBLEMS: hard} if hard else {}),
            **self.curriculum.metrics(budget.iteration, self.iterations),
            "tokens_per_second": (progress.tokens - self.progress.tokens) / max(sampling_seconds, 1e-9),
            **learned,
            **synced,
            **evaluation.metrics,
        }
        self.log.row(row)
        if due:
            self.log.table(row)
            self.log.answers(progress.iteration, evaluation.answers)
        check(row, self.out, failure(rollouts.groups))
        self.progress = progress
        clock = time.monotonic()
        if clock >= self.next_save or progress.iteration == self.iterations:
            self.save()
            self.next_save = time.monotonic() + (time.monotonic() - clock) / SAVING_SHARE
        self._call_back(row)
        self.stop.release()

    def _call_back(self, row: Metrics) -> None:
        """Shows an iteration to the callbacks. Saves it and raises `Stopped` if one of them says so."""
        try:
            goes_on = self.callbacks.iteration(row)
        except UserError:
            self.save()
            raise
        if goes_on is False and self.progress.iteration < self.iterations:
            raise Stopped(self.save())

    def experience(self, plan: Plan) -> tuple[Rollouts, int]:
        """What the plan asks for, and what the agent still lacks then, up to `MAX_BATCHES` plans; and the new position.

        Verified, and with the rewards that it is to learn from.
        """
        self.log.doing("sampling")
        iteration = self.progress.iteration
        mdp = self.curriculum.process(iteration, self.iterations)
        sampler, position = self.agent.sampler(self.sampler), self.progress.position
        draw = partial(
            roll_out, self.agent.searching, sampler, mdp, temperature=plan.temperature, progress=self.log.used
        )
        groups, tokens, responses = list[Group](), list[int](), list[int]()
        count = missing = planned_problems(plan, mdp)
        while missing:
            problems, position = next_problems(mdp, self.seed, position, missing, plan.exclude)
            if plan.source == "reference":
                self.log.used(len(problems))
                rollouts = Rollouts.of(demonstrate(mdp, problems))
            else:
                refill = ("refill", len(groups)) if groups else ()
                rollouts = draw(problems, plan.samples, seed=(self.seed, "rollout", iteration, *refill))
            groups += rollouts.groups
            tokens += rollouts.tokens
            responses += rollouts.responses
            missing = min(self.agent.groups_missing(groups), count, MAX_BATCHES * count - len(groups))
        return Rollouts(self.rescore(groups) if self.rescore else groups, tokens, responses), position

    def save(self) -> str:
        """Makes a checkpoint of the last complete iteration, and says so."""
        iteration = self.progress.iteration
        if iteration:
            self.log.sync()
            total = self.iterations if self.total_matters else None
            state = {"progress": vars(self.progress), "data": self.curriculum.fingerprint, TOTAL: total}
            tensors, keep = self.agent.state_dict(), self.keep_checkpoints
            checkpoint.save(self.out / CHECKPOINTS, iteration, tensors, state, keep=keep)
        return f"{iteration} of {self.iterations} iterations are saved"

    def doing(self, what: str) -> None:
        self.log.doing(what)
        self.callbacks.doing(what)

    def skipped_step(self, batch: Batch) -> None:
        """Keeps the first batch of an iteration whose step was skipped, for inspection."""
        path = self.out / "refused" / f"{self.progress.iteration:08d}.safetensors"
        if not path.exists():
            checkpoint.save_batch(path, batch)
        self.callbacks.skipped_step(batch)

    def update(self, budget: Budget, groups: Sequence[Group], advantage: Tensor) -> None:
        budget = Budget(budget.iteration, self.iterations)  # to look at their number here changes nothing
        for observer in (self.recorder, self.callbacks):
            observer.update(budget, groups, advantage)

    def _budget(self, iteration: int) -> Budget:
        def note() -> None:
            self.total_matters = True

        return WatchedBudget(iteration, self.iterations, note)

    def _restored(self) -> Progress:
        """The progress of the newest checkpoint, whose state the agent takes over."""
        self.total_matters = len(self.curriculum.levels) > 1
        saved = checkpoint.newest(self.out / CHECKPOINTS)
        if saved is None:
            return Progress()
        tensors, state = saved
        if state["data"] != self.curriculum.fingerprint and not self.changed_data:
            task = self.curriculum.levels[0].task
            raise UserError(changed(task.name, task.split, self.out))
        self.agent.load_state_dict(tensors)
        self.total_matters |= state.get(TOTAL) is not None
        return Progress(**state["progress"])

    def _open_log(self) -> RunLog:
        iteration = self.progress.iteration
        plan = self.agent.plan(self._budget(iteration))
        each = planned_problems(plan, self.curriculum.process(iteration, self.iterations)) * plan.samples
        return RunLog(
            self.out,
            iteration=iteration,
            used=self.progress.rollouts,
            budget=each * self.iterations,
            unit="rollouts" if plan.source == "policy" else "demonstrations",
            loggers=self.loggers,
            quiet=self.quiet,
        )

    def _learn(self, groups: Sequence[Group], budget: Budget) -> Metrics:
        short = self.agent.groups_missing(groups)
        if short:
            self.log.say(f"iteration {budget.iteration}: sampled {len(groups)} problems and still wanted {short} more")
        self.log.doing("learning")
        self.sampler.release()
        with enough_memory(self.agent):
            return self.agent.learn(groups, budget, self)

    def _warn(self, progress: Progress, groups: int, hard: Sequence[str], *, updates: int, skipped: int) -> None:
        """Says what is odd about an iteration."""
        new = [problem for problem in hard if problem not in self.hard_problems]
        if new:
            self.hard_problems.update(new)
            self.log.say(f"hard to verify, their gold cannot be read or verification times out: {listed(new)}")
        rollouts = progress.rollouts
        lack = missing_signal(self.agent, rollouts=rollouts, right=progress.right, contrasts=progress.contrasts)
        if lack and self.progress.rollouts < ENOUGH <= rollouts:
            self.log.say(lack)
        if skipped:
            steps = f"{skipped} of {updates + skipped} optimiser steps were not taken"
            self.log.say(f"iteration {self.progress.iteration}: {steps}, their loss or gradient is not finite")
        elif not updates:
            self.log.say(f"iteration {self.progress.iteration}: none of {groups} groups teaches, the policy stays")


def planned_problems(plan: Plan, mdp: ReasoningMDP) -> int:
    """How many problems a plan begins with."""
    return len(mdp.task.problems) if plan.problems is None else plan.problems


def changed(task: str, split: str, out: Path, *, finished: bool = False) -> str:
    """The message about a run whose problems are no longer the ones that it began with."""
    ways = "use another --out" if finished else "use another --out, or go on with them by --changed-data"
    return f"the problems of {task}, split {split}, have changed since {out} was begun; {ways}"


def failure(groups: Sequence[Group]) -> str:
    """What failed in the first verdict of an iteration of which that is known; empty if there is none."""
    for group in groups:
        for trajectory in group.trajectories:
            if trajectory.verdict.reason is Reason.ERROR and trajectory.verdict.cause:
                return trajectory.verdict.cause
    return ""


def check(row: Mapping[str, Any], out: Path, cause: str = "") -> None:
    """Raises `UserError` for an iteration whose numbers cannot be believed; `cause` says why verdicts failed."""
    if row.get("gap/mean", 0.0) > MAX_GAP:
        raise UserError(
            f"sampler and trainer disagree by {row['gap/mean']:.3f} nats a token (limit {MAX_GAP}): the rollouts are "
            "not from the policy that is trained; use float32 (dtype=float32) or the torch sampler"
        )
    if row.get("verifier_errors", 0.0) > MAX_ERRORS:
        share = row["verifier_errors"]
        raise UserError(f"{share:.1%} of the verdicts failed (limit {MAX_ERRORS:.0%}); {cause or 'see metrics.jsonl'}")
    if row.get("hard_to_verify", 0.0) > MAX_HARD:
        share = row["hard_to_verify"]
        raise UserError(
            f"{share:.1%} of the answers are to problems that are hard to verify (limit {MAX_HARD:.0%}): their gold "
            f"cannot be read, or verification times out; leave them out: {listed(row[HARD_PROBLEMS])}"
        )
    if row.get("rewards/invalid", 0.0) > MAX_INVALID:
        raise UserError(
            f"{row['rewards/invalid']:.1%} of the samples have a reward that is not finite (limit {MAX_INVALID:.0%}); "
            "correct the reward of the environment"
        )
    if row["refused"] >= MAX_SKIPPED:
        raise UserError(
            f"{row['refused']} optimiser steps in a row had a loss or gradient that is not finite (limit "
            f"{MAX_SKIPPED}); none was taken and the first batch of each iteration is in {out / 'refused'}; "
            "use a lower lr or dtype=float32"
        )
