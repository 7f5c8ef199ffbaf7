"""A conditioned policy: goals are read before every step, and nothing of them is in what comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from reasonenv.agents.rcrl import conditioned
from reasonenv.core import Completion, Group
from reasonenv.errors import UserError
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.policy.collate import collate
from reasonenv.policy.goals import FILE, Goals
from reasonenv.policy.policy import Policy
from reasonenv.policy.pretrained import load_policy
from reasonenv.policy.tiny import tiny_policy
from reasonenv.sampling import make_sampler
from reasonenv.sampling.goal_sampler import conditioned_sampler
from reasonenv.sampling.sampler import Sampler, Sampling

SEEDS = [[10 * n + g for g in range(3)] for n in range(3)]
BUDGET = 20
GOALS = Goals()


@pytest.fixture(scope="module")
def mdp() -> ReasoningMDP:
    return make_mdp("Chain", size=3, operands=2, max_tokens=BUDGET)


@pytest.fixture
def policy() -> Policy:
    """Writes short lines: EOS once in 10 tokens or so, a line break more often."""
    policy = tiny_policy(0)
    head = torch.nn.Linear(128, policy.tokenizer.vocab_size)
    with torch.no_grad():
        head.weight.copy_(0.5 * policy.head.weight)
        head.bias.zero_()[policy.tokenizer.eos_id] = 3.35
        head.bias[policy.tokenizer.encode("\n")[0]] = 4.0
    policy.model.set_output_embeddings(head)
    return policy


def conditioned_on(goals: Goals | None, policy: Policy, name: str = "torch") -> Sampler:
    return conditioned_sampler(make_sampler(name, policy), policy, goals)


def draw(
    policy: Policy,
    mdp: ReasoningMDP,
    name: str = "torch",
    temperature: float = 1.0,
    goals: Goals | None = GOALS,
) -> list[list[Completion]]:
    return conditioned_on(goals, policy, name).generate(mdp.prompts, SEEDS, Sampling(BUDGET, temperature))


def test_every_token_is_drawn_behind_the_goals_that_the_trainer_inserts(policy: Policy, mdp: ReasoningMDP) -> None:
    # the completion holds the policy's tokens alone; put back the goals, and the trainer gives them the same log-probs
    rows = [mdp.trajectory(i, one) for i, own in enumerate(draw(policy, mdp)) for one in own]
    assert max(len(t.ends) for t in rows) >= 3
    assert {t.terminated for t in rows} == {True, False}
    goal = policy.tokenizer.encode("[GOOD]")
    behind = [conditioned(t, [goal] * len(t.ends)) for t in rows]
    logp, _ = policy.score(collate([Group(t.problem, (t,)) for t in behind], pad=0), tokens_per_microbatch=4096)
    for own, t, found in zip(rows, behind, logp.numpy(), strict=True):
        assert_allclose(found[: len(t.tokens)][t.roles == 1], own.logprobs, atol=1e-4)


def test_both_samplers_draw_the_same(policy: Policy, mdp: ReasoningMDP) -> None:
    for mine, theirs in zip(draw(policy, mdp), draw(policy, mdp, "hf"), strict=True):
        assert [(c.tokens.tolist(), c.stop) for c in mine] == [(c.tokens.tolist(), c.stop) for c in theirs]


def test_a_sample_depends_on_its_own_seed_alone(policy: Policy, mdp: ReasoningMDP) -> None:
    together = draw(policy, mdp)
    alone = conditioned_on(GOALS, policy).generate(mdp.prompts[1:2], [SEEDS[1][2:]], Sampling(BUDGET))
    assert alone[0][0].tokens.tolist() == together[1][2].tokens.tolist()


def test_the_goal_matters_and_none_is_the_plain_sampler(policy: Policy, mdp: ReasoningMDP) -> None:
    drawn = []
    for goals in (GOALS, GOALS.negated(), None):
        groups = draw(policy, mdp, temperature=0.0, goals=goals)
        drawn.append([c.logprobs.tolist() for group in groups for c in group])
    good, bad, plain = drawn
    assert good != bad != plain != good


def test_where_the_context_has_no_room_no_goal_is_set(policy: Policy, mdp: ReasoningMDP) -> None:
    policy.context = max(map(len, mdp.prompts)) + BUDGET  # just the budget
    squeezed = draw(policy, mdp, temperature=0.0)
    plain = draw(policy, mdp, temperature=0.0, goals=None)
    longest = int(np.argmax([len(p) for p in mdp.prompts]))
    assert [c.tokens.tolist() for c in squeezed[longest]] == [c.tokens.tolist() for c in plain[longest]]


def test_a_stop_token_ends_a_response(policy: Policy, mdp: ReasoningMDP) -> None:
    line = policy.tokenizer.encode("\n")[0]
    found = make_sampler("torch", policy).generate(mdp.prompts, SEEDS, Sampling(BUDGET, stop=(line,)))
    stopped = [c for own in found for c in own if line in c.tokens]
    assert stopped
    assert all(c.tokens[-1] == line and line not in c.tokens[:-1] and c.stop == "length" for c in stopped)


def test_a_saved_policy_remembers_its_goals(policy: Policy, tmp_path: Path) -> None:
    fresh = tiny_policy(0)
    fresh.save(tmp_path / "policy")
    assert load_policy(str(tmp_path)).goals is None
    fresh.save(tmp_path / "policy", Goals("[A]", "[B]"))
    assert load_policy(str(tmp_path)).goals == Goals("[A]", "[B]")
    (tmp_path / "policy" / FILE).write_text("{}}")
    with pytest.raises(UserError, match=r"goals\.json is damaged"):
        load_policy(str(tmp_path))
