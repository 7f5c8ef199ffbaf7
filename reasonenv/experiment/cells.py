"""The cells of a suite: all that starts from one initial policy, each cell after those that it needs.

The initial policy comes first, then a reward model of its samples, if there is one. In every variant of the environment
follow the rows between which a table is read, and the agents: the initial policy, the floor `random_tokens`, and the
ceilings `majority` and `best_of_k`, which choose among the stored samples of the initial policy.

The initial policy, its reward model and the references are trained and measured once; every training seed of every
agent starts from them. So seeds vary what an agent does, and not what it begins with: the variance between initial
policies is another question, for which a suite has several of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from reasonenv.errors import UserError
from reasonenv.experiment.config import RunConfig, describe_run, resolved
from reasonenv.experiment.identity import code_of
from reasonenv.experiment.suite_config import SuiteConfig
from reasonenv.settings import read_value

BASELINE = "initial"
ORM = "orm"  # stands for the reward model of the suite
FLOOR, CEILINGS = "random_tokens", ("majority", "best_of_k")
REFERENCES = (FLOOR, *CEILINGS)
BUDGETS = {"iterations", "rollouts"}  # two ways to say how long a cell trains
BASE_SAMPLES = 256  # of a problem that none of them has solved; `base_samples` in [keys] changes it


@dataclass(frozen=True)
class Cell:
    """One run of a suite."""

    run: RunConfig
    agent: str  # as the report calls it
    policy: str  # what the suite began with
    init: str
    code: Mapping[str, Any]  # the record of the code that is meant
    variant: str = ""
    needs: tuple[str, ...] = ()  # cells that the run names, in place of a policy or a reward model
    after: tuple[str, ...] = ()  # cells whose result says whether this one is worth its budget
    answers: str | None = None  # the cell among whose stored answers this one chooses, and runs nothing
    shown: bool = True  # whether it is a row of the report, or only what others start from

    @cached_property
    def name(self) -> str:
        """Agent, environment, seed, and a hash of everything that decides the result: all settings, and the code.

        So no row of a report mixes two codes: what other code has left stays on the disk and is a row no more.
        """
        content = json.dumps({**resolved(self.run), "code": self.code}, sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()[:8]
        env = self.run.env.rsplit("/", 1)[-1].removesuffix("-v0")
        return f"{self.run.agent}-{env}-seed{self.run.seed}-{digest}".replace(":", "_").replace("/", "_")

    @property
    def planned(self) -> int:
        """Answers, or demonstrations, from which the cell is to learn; dynamic sampling may take more."""
        config = self.run.agent_config
        problems = getattr(config, "problems_per_iteration", None) or 0  # of an agent that learns nothing: 0
        planned: int = self.run.iterations * problems * config.samples_per_problem
        return planned

    @property
    def measured(self) -> int:
        """Answers to held-out problems, at most: greedy ones along the way, and the samples of the end.

        The base budget of an initial policy comes on top: how much of it is used depends on what is solved at once.
        """
        evaluations = self.run.iterations // self.run.eval_every + 2
        return self.run.eval_problems * (evaluations + self.run.eval_samples)

    @property
    def sequences(self) -> int:
        """How many sequences are drawn, learned from and measured: it orders cells by cost and estimates no time."""
        passes = 1 + getattr(self.run.agent_config, "epochs", 1)  # drawn once, then learned from
        return self.planned * passes + self.measured


def cells_from(suite: SuiteConfig, env: str, init: str, *, samples: int) -> Iterator[Cell]:
    """Every cell that starts from the initial policy `init`, measured by `samples` answers a problem.

    Without samples there is nothing to choose among, and there are no references.
    The initial policy has its own key `seed` (0 if it has none), the agents have the `seeds` of the suite.
    Raises `UserError` that names the agent for a setting that cannot be.
    """
    variants: Mapping[str, Mapping[str, Any]] = suite.variants or {"": {}}
    shared = {**suite.keys, "eval_samples": samples}
    budget = shared.pop("base_samples", BASE_SAMPLES if samples else 0)
    base = {"base_samples": budget}  # of the initial policy alone
    training = dict(suite.inits[init])
    seed = _seed(init, training.pop("seed", 0))
    run = _run("sft", env, seed, _over({**shared, **base}, training), suite.policy)
    start = Cell(run, BASELINE, suite.policy, init, code_of(run).record)
    again = suite.orm is not None or any(variants.values())  # it is measured in each variant, ranked by the model
    if again:
        start = replace(start, run=replace(start.run, eval_samples=0, base_samples=0), shown=False)
    yield start
    needs: tuple[str, ...] = (start.name,)
    if suite.orm is not None:
        run = _run(ORM, env, seed, _over({**shared, "eval_samples": 0}, suite.orm), start.name)
        model = _with_run(replace(start, needs=needs, shown=False), run, agent=ORM)
        yield model
        shared, needs = {**shared, "rank": model.name}, (start.name, model.name)
    for variant, settings in variants.items():
        keys = _over(shared, settings)
        template = replace(start, variant=variant, needs=needs, shown=True)  # what the cells of the variant share
        initial = start
        if again:
            initial = _with_run(
                template, _run("sft", env, seed, _over({**keys, **base}, {"iterations": 0}), start.name)
            )
            yield initial
        if samples:
            for cell in _references(template, initial, samples):
                if cell.agent not in suite.agents:
                    yield cell
        for label in suite.agents:
            kind, numbers = suite.agent(label)
            run = _run(kind, env, 0, _named(_over(keys, numbers), needs), start.name)
            cell = _with_run(template, run, agent=label, after=(initial.name,))
            for each in suite.seeds:
                yield replace(cell, run=replace(cell.run, seed=each))


def _over(keys: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a table over those of all tables. One budget takes the place of the other."""
    merged = {**keys, **table}
    if BUDGETS & table.keys():
        for key in BUDGETS - table.keys():
            merged.pop(key, None)
    return merged


def _seed(init: str, value: Any) -> int:
    try:
        seed: int = read_value("seed", value, int)
    except UserError as error:
        raise UserError(f"inits.{init}: {error}") from error
    return seed


def _references(template: Cell, initial: Cell, samples: int) -> Iterator[Cell]:
    """The floor and the ceilings of one table, in which `initial` is the initial policy."""
    nothing: dict[str, Any] = {"iterations": 0, "eval_samples": 0, "base_samples": 0, "rank": None}
    run = replace(initial.run, policy=template.needs[0], agent_keys={}, **nothing)
    # after 0 iterations stand the policy's own greedy answers
    yield _with_run(template, replace(run, agent=FLOOR, iterations=1), agent=FLOOR)
    for name in CEILINGS:
        choosing = replace(run, agent=name, agent_keys={"samples_per_problem": samples}, policy=initial.name)
        yield _with_run(template, choosing, agent=name, needs=(initial.name,), answers=initial.name)


def _with_run(cell: Cell, run: RunConfig, **changes: Any) -> Cell:
    """A cell like another one, of another run."""
    return replace(cell, run=run, code=code_of(run).record, **changes)


def _named(keys: Mapping[str, Any], needs: tuple[str, ...]) -> dict[str, Any]:
    """The settings with the suite's reward model by its name, where they ask for it."""
    referring = {key for key in ("orm", "labels", "search_value") if keys.get(key) == ORM}
    if referring and len(needs) < 2:
        raise UserError(f'{min(referring)} = "{ORM}": the suite has no table [{ORM}]; add one, or give a folder')
    return {**keys, **dict.fromkeys(referring, needs[-1])}


def _run(agent: str, env: str, seed: int, keys: Mapping[str, Any], policy: str) -> RunConfig:
    """A run with `iterations`, or with those that follow from `rollouts`."""
    settings = dict(keys)
    rollouts = settings.pop("rollouts", None)
    try:
        if "iterations" not in settings and rollouts is None:
            raise UserError("iterations is missing; give it, or rollouts")
        run = describe_run(agent, env, settings, policy=policy, seed=seed)
        if "iterations" not in settings:
            run = replace(run, iterations=_iterations(run, read_value("rollouts", rollouts, int)))
        return run
    except UserError as error:
        raise UserError(f"{agent}: {error}") from error


def _iterations(run: RunConfig, rollouts: int) -> int:
    config = run.agent_config
    if not hasattr(config, "problems_per_iteration"):
        return 1  # it draws none while it learns, for it learns nothing; its answers stand after one iteration
    if config.problems_per_iteration is None:
        raise UserError("rollouts says how many iterations there are only together with problems_per_iteration")
    each: int = config.problems_per_iteration * config.samples_per_problem
    if rollouts % each:
        raise UserError(f"rollouts is {rollouts!r}; it must be a multiple of the {each} of an iteration")
    return rollouts // each
