"""The single environment, where `test_laws.py` does not look."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

import reasonenv
from reasonenv.core import Completion, Reason, Trajectory
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.tasks import reference_solution


def as_trajectory(mdp: ReasoningMDP, index: int, tokens: list[int]) -> Trajectory:
    stop = "eos" if tokens[-1] == mdp.tokenizer.eos_id else "length"
    return mdp.trajectory(index, Completion.unsampled(np.array(tokens), stop))


def test_replay_fails_at_the_first_difference() -> None:
    mdp = make_mdp("Chain", size=5, reward="dense")
    good = mdp.demonstration(0)
    rewards = good.rewards.copy()
    rewards[good.ends[0]] += 0.25
    with pytest.raises(AssertionError, match=f"token {good.ends[0]}: reward"):
        reasonenv.replay(replace(good, rewards=rewards), ReasoningEnv(mdp, "token"))


def test_gold_is_worth_what_the_reward_says() -> None:
    # two reference steps: sparse 1; dense 1 + alpha = 1.5, half of alpha at each step; shaping telescopes to 0
    for reward, expected in (("sparse", 1.0), ("dense", 1.5), ("potential", 1.0)):
        mdp = make_mdp("Chain", size=5, reward=reward)
        assert mdp.demonstration(0).ret == pytest.approx(expected)
    dense = make_mdp("Chain", size=5, reward="dense").demonstration(0)
    assert dense.rewards[dense.ends].tolist() == pytest.approx([0.25, 0.25, 1.0])


def test_potential_shaping_leaves_return_differences_unchanged() -> None:
    sparse, shaped = (make_mdp("Chain", size=20, reward=r) for r in ("sparse", "potential"))
    for index in range(20):
        eos = sparse.tokenizer.eos_id
        wrong = [*sparse.tokenizer.encode("1+1=2\n#### 77777"), eos]
        endless = sparse.demonstration(index).tokens.tolist()[:-1] * 9
        for tokens in (wrong, endless[: sparse.max_tokens]):
            returns = [as_trajectory(m, index, tokens).ret - m.demonstration(index).ret for m in (sparse, shaped)]
            assert returns[0] == pytest.approx(returns[1])


def test_a_cut_response_has_given_no_answer() -> None:
    mdp = make_mdp("Chain", size=5, max_tokens=40)
    gold = mdp.tokenizer.encode(reference_solution(mdp.task.problems[0]))
    cut = as_trajectory(mdp, 0, (gold + mdp.tokenizer.encode("\n" * 40))[:40])
    assert (cut.truncated, cut.terminated, cut.ret) == (True, False, 0.0)
    assert cut.verdict.reason is Reason.NO_ANSWER


def test_any_unfinished_prefix_is_a_start() -> None:
    mdp = make_mdp("Chain", size=5, reward="dense")
    gold = mdp.demonstration(0)
    first = int(gold.ends[0]) + 1
    env = ReasoningEnv(mdp, "response")
    observation, _ = env.reset(options={"problem": 0, "prefix": gold.tokens[:first]})
    assert observation["length"] == len(gold.prompt) + first
    _, reward, terminated, _, _ = env.step(gold.tokens[first:])
    assert terminated
    assert reward == pytest.approx(1.25)  # the first step's quarter was earned before this start
    for bad in ([mdp.tokenizer.eos_id], [0] * mdp.max_tokens, [10**6], [-1]):
        with pytest.raises(reasonenv.UserError, match="prefix"):
            env.reset(options={"problem": 0, "prefix": bad})


def test_the_response_environment_closes_an_open_response() -> None:
    env = ReasoningEnv(make_mdp("Chain", size=5), "response")
    env.reset(options={"problem": 0})
    *_, terminated, truncated, info = env.step([])
    assert (terminated, truncated, info["verdict"].reason) == (True, False, Reason.NO_ANSWER)


def test_stepping_past_the_end_is_refused() -> None:
    env = ReasoningEnv(make_mdp("Chain", size=5), "response")
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step([])


def test_render_shows_what_each_action_earned() -> None:
    mdp = make_mdp("Chain", size=5, reward="dense")
    env = ReasoningEnv(mdp, "step", render_mode="ansi")
    env.reset(options={"problem": 0})
    gold = mdp.demonstration(0)
    start = 0
    for end in gold.ends:
        env.step(gold.tokens[start : end + 1])
        start = end + 1
    lines = env.render().splitlines()
    problem = mdp.problems[0]
    assert lines == [
        problem.question,
        f" +0.250 | {problem.steps[0]}",
        f" +0.250 | {problem.steps[1]}",
        f" +1.000 | #### {problem.answer}<eos>",
        f"terminated, correct: found {problem.answer!r}, gold {problem.answer!r}",
    ]


def test_render_is_the_same_however_many_tokens_an_action_holds() -> None:
    # a prefix earned nothing here, rewards of tokens gather on their line, and no character moves the cursor
    mdp = make_mdp("Chain", size=5, reward="dense")
    first, *_, last = mdp.problems[0].steps
    prefix, rest = mdp.tokenizer.encode(f"{first}\n"), mdp.tokenizer.encode(f"\x1b[J\n{last}\n7")
    shown = []
    for granularity, actions in (("token", rest), ("step", [rest])):
        env = ReasoningEnv(mdp, granularity, render_mode="ansi")
        env.reset(options={"problem": 0, "prefix": prefix})
        for action in actions:
            env.step(action)
        shown.append(env.render().splitlines())
    assert shown[0] == [
        mdp.problems[0].question,
        f"        | {first}",
        r"        | \x1b[J",
        f" +0.250 | {last}",
        "        | 7",
    ]
    assert shown[1][:3] == shown[0][:3]
    assert shown[1][4] == " +0.250 | 7"  # where the action that earned it ended


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"max_tokens": 1}, "max_tokens is 1"),
        ({"reward": "dens"}, "did you mean dense"),
        ({"prompt": "chat"}, "no chat template"),
        ({"prompt": "plane"}, "did you mean plain"),
        ({"operand": 4}, "did you mean operands"),
        ({"operands": "x"}, "operands is 'x'; it must be int"),
        ({"operands": 2.5}, "operands is 2.5; it must be int"),
        ({"size": "many"}, "size is 'many'; it must be int or None"),
        ({"max_tokens": "none"}, "max_tokens is 'none'; it must be int or None"),
        ({"stochastic": 0.1}, "stochastic is 0.1; it must be str or None"),
        ({"rewards": "dense"}, "did you mean reward"),
        ({"tokenizer": "no/such/folder"}, "neither"),
    ],
)
def test_a_bad_argument_is_named(knobs: dict[str, object], message: str) -> None:
    with pytest.raises(reasonenv.UserError, match=message):
        gymnasium.make("reasonenv/Chain-Token-v0", **knobs)


def test_the_id_works_without_an_import() -> None:
    import subprocess
    import sys

    code = "import gymnasium as g; print(g.make('reasonenv:reasonenv/Chain-Token-v0').reset(seed=0)[1]['question'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("=?")
