"""Rewards: what each term pays, to the digit, and how terms are put together."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reasonenv.core import Completion, Problem, Reason, Trajectory, Verdict
from reasonenv.errors import UserError
from reasonenv.mdp.make import make_mdp
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.progress import Progress
from reasonenv.mdp.rewards import REWARDS, correct, matched_in_order, matched_share, overlong, reward_terms

TWO = Problem("two", "?", "9", ("1+1=2", "2+2=4", "4+1=5"))


def said(text: str) -> Progress:
    return Progress(lambda: text, len(text), 100, None, terminated=False, truncated=False)


def episode(mdp: ReasoningMDP, text: str) -> Trajectory:
    tokens = np.array([*mdp.tokenizer.encode(text), mdp.tokenizer.eos_id][: mdp.max_tokens])
    stop: Any = "eos" if tokens[-1] == mdp.tokenizer.eos_id else "length"
    return mdp.trajectory(0, Completion.unsampled(tokens, stop))


@pytest.mark.parametrize(
    ("values", "any_order", "in_order"),
    [
        ("245", 3, 3),
        ("542", 3, 1),  # all are there; in order only one of them
        ("452", 3, 2),
        ("225", 2, 2),  # 2 is in the reference once
        ("525", 2, 2),
        ("77", 0, 0),
        ("", 0, 0),
    ],
)
def test_steps_are_matched_in_any_order_or_in_the_order_of_the_reference(
    values: str, any_order: int, in_order: int
) -> None:
    state = said("".join(f"x={v}\n" for v in values))
    assert matched_share(TWO, state) == pytest.approx(any_order / 3)
    assert matched_in_order(TWO, state) == pytest.approx(in_order / 3)


@settings(deadline=None)
@given(values=st.text("245", max_size=8))
def test_a_further_step_takes_nothing_away_and_order_never_helps(values: str) -> None:
    lines = [f"x={v}\n" for v in values]
    shares = [matched_in_order(TWO, said("".join(lines[:n]))) for n in range(len(lines) + 1)]
    assert shares == sorted(shares)
    assert shares[-1] <= matched_share(TWO, said("".join(lines)))


def test_overlong_goes_down_in_a_line_over_the_last_fifth() -> None:
    # budget 100, cache 20: 0 up to 80, (80 - 90) / 20 = -1/2 at 90, -1 at 100; DAPO eq. 13
    def pays(length: int, over: bool = True) -> float:
        verdict = Verdict(Reason.WRONG, "1", "2")
        return overlong(TWO, said(""), Progress(lambda: "", length, 100, verdict, over, truncated=False))

    assert [pays(n) for n in (1, 80, 90, 100)] == pytest.approx([0, 0, -0.5, -1])
    assert pays(100, over=False) == 0


def test_format_pays_for_a_marked_answer_right_or_wrong_but_not_for_a_cut_one() -> None:
    mdp = make_mdp("Chain", size=1, reward="format", max_tokens=30)
    assert episode(mdp, "#### 999999").ret == pytest.approx(0.1)
    assert episode(mdp, r"\boxed{999999}").ret == pytest.approx(0.1)
    assert episode(mdp, "999999").ret == 0
    assert episode(mdp, "#### 999999\n" * 9).ret == 0


def test_names_join_and_a_shared_term_is_paid_once() -> None:
    gold = "\n".join((*make_mdp("Chain", size=1).problems[0].steps, "#### "))
    answer = make_mdp("Chain", size=1).problems[0].answer
    # correct 1, steps 1/2, format 1/10; the shaping of a whole episode is 0; the budget is not half used
    for reward, worth in {"sparse+dense": 1.5, "dense+format": 1.6, "format+potential+overlong": 1.1}.items():
        assert episode(make_mdp("Chain", size=1, reward=reward, max_tokens=200), gold + answer).ret == pytest.approx(
            worth
        )
    assert list(reward_terms("dense+potential")) == ["correct", "steps", "shaping"]


def test_any_callable_is_a_process_reward() -> None:
    def lines(problem: Problem, before: Progress, after: Progress) -> float:
        return 0.01 * (after.text.count("\n") - before.text.count("\n"))

    class Model:
        def __call__(self, problem: Problem, before: Progress, after: Progress) -> float:
            return float(after.over)

    mdp = make_mdp("Chain", size=1, reward=["sparse", lines, Model()])
    outcome = mdp.take(mdp.initial(0), [*mdp.tokenizer.encode("a\nb\n"), mdp.tokenizer.eos_id])
    assert outcome.terms == pytest.approx({"correct": 0, "lines": 0.02, "Model": 1})
    alone = make_mdp("Chain", size=1, reward=lines)
    assert episode(alone, "a\nb\n").rewards[[1, 3]].tolist() == pytest.approx([0.01, 0.01])


def test_a_reward_that_is_no_number_is_passed_on_for_agents_to_leave_out() -> None:
    def broken(problem: Problem, before: Progress, after: Progress) -> float:
        return float("nan")

    assert math.isnan(episode(make_mdp("Chain", size=1, reward=["sparse", broken]), "1").ret)


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ("dense+formt", "unknown reward 'formt'; did you mean format"),
        ("", "unknown reward ''"),
        ([], "must name at least one"),
        (["sparse", 3], "holds 3; it must be a name, a callable"),
        ("dense+ordered", "two different terms called 'steps'"),
    ],
)
def test_a_bad_reward_is_named(reward: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        reward_terms(reward)


def test_only_terms_that_say_so_pay_before_the_end() -> None:
    # what BatchedReasoningEnv relies on when it passes over the ends of steps
    ends = {name: not make_mdp("Chain", size=1, reward=name).pays_steps for name in REWARDS}
    assert {name for name, at_end in ends.items() if at_end} == {"sparse", "score", "format", "overlong"}
    assert correct(TWO, said(""), said("9\n")) == 0


def test_a_function_named_by_its_file_is_that_function(tmp_path: Path) -> None:
    path = tmp_path / "lines.py"
    path.write_text("def lines(problem, before, after):\n    return float(after.text.count('\\n'))\n\nname = 'lines'\n")
    assert [*reward_terms(f"sparse+{path}:lines")] == ["correct", "lines"]
    mdp = make_mdp("Chain", size=1, reward=f"{path}:lines")
    assert episode(mdp, "a\nb\n").rewards[[1, 3]].tolist() == [1, 2]
    with pytest.raises(UserError, match=r"lines.py:name' is 'lines'; it must be a function"):
        reward_terms(f"{path}:name")
