"""`check_agent`: the laws of learning from verified samples, run on an agent class of anybody's.

Every law is a number, its error, with a limit. All but the last are about two or three small groups on a `TinyMDP`; the
last enumerates every group that could have been drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from reasonenv.core import Group, Role, Trajectory
from reasonenv.errors import UserError, check_known
from reasonenv.learn.agent import Agent, Budget
from reasonenv.learn.policy_gradient import PolicyGradient
from reasonenv.testing.gradients import gradients
from reasonenv.testing.report import Finding, LawBroken, Report
from reasonenv.testing.tiny import TabularPolicy, TinyMDP, expected_update

Objective = Callable[[TinyMDP, TabularPolicy], Tensor]

ODD = TinyMDP(actions=3, horizon=3, reward=lambda response: float(sum(response) % 2), stops=True)
SHORT = TinyMDP(actions=3, horizon=2, reward=lambda response: float(response == (1, 0)), stops=True)
ROUNDING = 1e-5  # relative, of a gradient in float32


class _Skip(Exception):
    """The law says nothing about this agent."""


@dataclass(frozen=True)
class _Case:
    """The agent to be checked, and what it claims."""

    kind: type[Agent]
    config: Any
    invariant: Collection[str]
    process: TinyMDP
    objective: Objective | None

    def agent(self, mdp: TinyMDP = ODD, **numbers: Any) -> Any:
        """A new agent, the same each time."""
        known = {f.name for f in fields(self.config)}
        config = replace(self.config, **{name: value for name, value in numbers.items() if name in known})
        return self.kind(TabularPolicy(mdp, seed=1), config)

    def on_policy(self, mdp: TinyMDP = ODD, **numbers: Any) -> Any:
        """One that takes one optimiser step."""
        return self.agent(mdp, epochs=1, minibatches=1, temperature=1.0, **numbers)

    def gradient(self, groups: Sequence[Group], **numbers: Any) -> Tensor:
        """[states, V], of all optimiser steps on these groups; 0 where none was taken."""
        agent = self.on_policy(**numbers)
        total = torch.zeros_like(agent.policy.theta)
        for gradient in gradients(agent, groups):
            total += gradient[: total.numel()].view_as(total)  # the table comes first, whatever else the agent trains
        return total

    def variant(self, **slots: Any) -> _Case:
        """The same agent with other slots in place of its own."""
        return replace(self, kind=type(self.kind.__name__, (self.kind,), slots))

    def surrogate_alone(self) -> _Case:
        """The agent without the loss beside its surrogate, of which rewards say nothing."""
        self.rewarded()
        return self.variant(auxiliary=lambda agent, states, micro: None)

    def rewarded(self) -> None:
        if not issubclass(self.kind, PolicyGradient):
            raise _Skip("no policy gradient: rewards are not weighed")

    def siblings(self) -> None:
        self.rewarded()
        if getattr(self.config, "least_samples", 1) < 2:
            raise _Skip("no group baseline (least_samples of its Config is 1)")


def _draw(*rows: Sequence[tuple[int, ...]]) -> list[Group]:
    """A group of these responses for each of `rows`."""
    policy = TabularPolicy(ODD, seed=1)
    return [ODD.group(policy, list(map(ODD.responses.index, row))) for row in rows]


def _mixed() -> list[Group]:
    """Two right of four and one right of four, of one to three tokens, one of them cut off."""
    return _draw([(1, 0), (2, 0), (2, 1, 0), (0,)], [(1, 2, 0), (0,), (2, 2, 2), (1, 1, 0)])


def _each(groups: Sequence[Group], change: Callable[[Trajectory], Trajectory]) -> list[Group]:
    return [replace(g, trajectories=tuple(map(change, g.trajectories))) for g in groups]


def _paying(groups: Sequence[Group], reward: Callable[[float], float]) -> list[Group]:
    """The same groups under another reward; the verdicts stay."""

    def change(t: Trajectory) -> Trajectory:
        return replace(t, rewards=np.append(t.rewards[:-1], reward(t.ret)).astype(np.float32))

    return _each(groups, change)


def _apart(gradient: Tensor, expected: Tensor) -> float:
    """The relative difference of two gradients."""
    if not expected.any():
        raise _Skip("it learns nothing from the samples tried")
    return float((gradient - expected).norm() / expected.norm())


def _equal_rewards(case: _Case) -> float:
    case.siblings()
    first, second = _mixed()
    group = [replace(first, trajectories=first.trajectories[:3] + second.trajectories[:3])]
    case = case.surrogate_alone()
    try:
        gradient = case.gradient(_paying(group, lambda r: 0.9))  # the mean of six float32 0.9 is another number
    except UserError:  # it takes rewards 0 and 1 alone
        gradient = case.gradient(_paying(group, lambda r: 1.0))
    return float(gradient.abs().max())


def _single_sample(case: _Case) -> float:
    case.siblings()
    return float(case.surrogate_alone().gradient(_draw([(1, 0)], [(2, 1, 0)], [(2, 0)])).abs().max())


def _unchanged(case: _Case, claim: str, reward: Callable[[float], float]) -> float:
    if claim not in case.invariant:
        raise _Skip("not claimed")
    return _apart(case.gradient(_paying(_mixed(), reward)), case.gradient(_mixed()))


def _micro_batches(case: _Case) -> float:
    whole = case.gradient(_mixed(), tokens_per_microbatch=10**6)
    return _apart(case.gradient(_mixed(), tokens_per_microbatch=1), whole)


def _order(case: _Case) -> float:
    turned = [replace(g, trajectories=g.trajectories[::-1]) for g in _mixed()[::-1]]
    return _apart(case.gradient(turned), case.gradient(_mixed()))


def _padding(case: _Case) -> float:
    """What a longer response changes of which the policy wrote no token, so that it is counted nowhere."""
    case.rewarded()
    groups = _draw([(1, 0), (2, 0), (0,)], [(0,), (1, 0)])
    wide = _each(_draw([(2, 2, 0)]), lambda t: replace(t, roles=t.roles * 0, logprobs=t.logprobs * 0))
    return _apart(case.gradient([*groups, *wide]), case.gradient(groups))


def _nan_reward(case: _Case) -> float:
    case.rewarded()
    first, *others = groups = _mixed()
    (lost,) = _paying(_draw([(2, 0)]), lambda r: math.nan)
    beside = replace(first, trajectories=(*first.trajectories, *lost.trajectories))
    return _apart(case.gradient([beside, *others]), case.gradient(groups))


def _environment(case: _Case) -> float:
    def marked(logprob: float) -> list[Group]:
        def change(t: Trajectory) -> Trajectory:
            roles, logprobs = t.roles.copy(), t.logprobs.copy()
            roles[1:2], logprobs[1:2] = Role.ENVIRONMENT, logprob
            return replace(t, roles=roles, logprobs=logprobs)

        return _each(_mixed(), change)

    one, other = case.gradient(marked(0.0)), case.gradient(marked(-50.0))
    second = [number for prefix, number in ODD.states.items() if len(prefix) == 1]  # whence the environment's tokens
    return _apart(other, one) + float(one[second].norm() / one.norm())


def _skipping(case: _Case) -> float:
    """The gradient of `learn` against that of an agent that skips no row, at a policy that has left its reference."""
    case.rewarded()
    groups = [*_mixed(), *_draw([(1, 0), (2, 1, 0), (1, 2, 0)], [(0,), (2, 0), (1, 1, 0)])]  # all right, all wrong

    def moved(case: _Case) -> Tensor:
        agent = case.on_policy()
        with torch.no_grad():
            agent.policy.theta.mul_(0.5)
        return sum(gradients(agent, groups), torch.zeros(()))

    return _apart(moved(case), moved(case.variant(loss_scales_with_advantage=False)))


def _on_policy(case: _Case) -> float:
    case = case.surrogate_alone()
    agent = case.on_policy()
    batch = agent.prepare(agent.batch(_mixed()))
    weights, advantage = agent.weights(batch), agent.advantage(batch)
    logp, _ = agent.policy.logprobs(batch)
    (expected,) = torch.autograd.grad(-(weights * advantage * logp).sum(), agent.policy.theta)
    return _apart(case.gradient(_mixed(), tokens_per_microbatch=10**6), expected)


def _learned(case: _Case) -> tuple[Agent, Agent]:
    """An agent that has learned once, and a new one that was given its state."""
    first, second = case.agent(), case.agent()
    first.learn(_mixed(), Budget(0, 2))
    second.load_state_dict({name: tensor.clone() for name, tensor in first.state_dict().items()})
    return first, second


def _differing(first: Agent, second: Agent) -> float:
    """How many tensors of the two states are not the same bits."""
    one, other = first.state_dict(), second.state_dict()
    return float(sum(name not in one or name not in other or not one[name].equal(other[name]) for name in one | other))


def _state(case: _Case) -> float:
    return _differing(*_learned(case))


def _resume(case: _Case) -> float:
    first, second = _learned(case)
    planned = first.plan(Budget(1, 2)) != second.plan(Budget(1, 2))
    for agent in (first, second):
        agent.learn(_mixed()[::-1], Budget(1, 2))
    return planned + _differing(first, second)


def _slope(objective: Objective, case: _Case) -> Tensor:
    policy = TabularPolicy(case.process, seed=1)
    return torch.autograd.grad(objective(case.process, policy), policy.theta)[0].double()


def _uphill(case: _Case) -> float:
    case.rewarded()
    update = expected_update(case.on_policy(case.process, samples_per_problem=3), case.process)
    true = _slope(TinyMDP.value, case)
    cosine = float((update * true).sum() / update.norm() / true.norm()) if update.any() else 0.0
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def _objective(case: _Case) -> float:
    if case.objective is None:
        raise _Skip("none stated")
    update = expected_update(case.on_policy(case.process, samples_per_problem=3), case.process)
    return _apart(update, _slope(case.objective, case))


def _selected(case: _Case) -> float:
    """Whether it learns from samples that were selected as if they were draws."""
    if case.kind.takes_selected:
        raise _Skip("it takes them, as it says (takes_selected)")
    try:
        case.gradient(_each(_mixed(), lambda t: replace(t, selected=True)))
    except UserError:
        return 0.0
    return 1.0


LAWS: dict[str, tuple[str, float, Callable[[_Case], float]]] = {
    "equal_rewards": ("a group of equal rewards teaches nothing", 1e-6, _equal_rewards),
    "single_sample": ("a group of one teaches nothing", 1e-6, _single_sample),
    "shift": ("rewards + 0.25 change no gradient", ROUNDING, lambda c: _unchanged(c, "shift", lambda r: r + 0.25)),
    "scale": ("rewards * 4 change no gradient", ROUNDING, lambda c: _unchanged(c, "scale", lambda r: 4 * r)),
    "micro_batches": ("cutting the batch changes no gradient", ROUNDING, _micro_batches),
    "order": ("the order of rows and groups changes no gradient", ROUNDING, _order),
    "padding": ("padding changes no gradient", ROUNDING, _padding),
    "nan_reward": ("a reward that is not a number is in no loss and no denominator", ROUNDING, _nan_reward),
    "environment": ("tokens of the environment have no influence", ROUNDING, _environment),
    "skipping": ("leaving out rows of advantage 0 changes no gradient", ROUNDING, _skipping),
    "on_policy": ("on-policy the gradient is REINFORCE's under the same advantage and weights", ROUNDING, _on_policy),
    "selected": ("samples that were selected among draws are refused", 0, _selected),
    "state": ("a loaded state is the saved one: tensors that differ", 0, _state),
    "resume": ("a loaded agent goes on as the saved one: tensors that differ", 0, _resume),
    "uphill": ("the mean update is less than 90 degrees from the gradient of E[R]", 89.9, _uphill),
    "objective": ("the mean update is the gradient of the stated objective", ROUNDING, _objective),
}


def check_agent(
    kind: type[Agent],
    config: Any = None,
    *,
    invariant: Collection[str] = (),
    except_laws: Collection[str] = (),
    process: TinyMDP = SHORT,
    objective: Objective | None = None,
) -> Report:
    """Runs every law that applies to `kind` and returns the report; raises `LawBroken` with it if one is broken.

    `config` is an instance of `kind.Config`, by default with its defaults. `invariant` names what the agent claims not
    to notice of its rewards: `shift`, `scale`; `except_laws` names laws that are none of it, as `order` where a replay
    buffer keeps what came first. `objective(process, policy)` is the number it claims to climb, exact and
    differentiable, for groups of 3 samples of `process`, whose rewards are 0 and 1 by default.
    """
    for claim in invariant:
        check_known("claim", claim, ("shift", "scale"))
    for law in except_laws:
        check_known("law", law, LAWS)
    case = _Case(kind, kind.Config() if config is None else config, invariant, process, objective)
    findings = []
    for law, (claim, limit, _) in LAWS.items():
        excepted = Finding(law, claim, None, limit, "excepted")
        findings.append(excepted if law in except_laws else _try(case, law))
    report = Report(kind.__name__, tuple(findings))
    if report.broken:
        raise LawBroken(report)
    return report


def _try(case: _Case, law: str) -> Finding:
    claim, limit, measure = LAWS[law]
    try:
        return Finding(law, claim, measure(case), limit)
    except _Skip as reason:
        return Finding(law, claim, None, limit, str(reason))
    except Exception as error:  # whatever it was, it is the agent's, and the other laws are still to be told
        return Finding(law, claim, math.inf, limit, f"{type(error).__name__}: {error}")
