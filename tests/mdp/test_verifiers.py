"""A user's verifier that gives no verdict is named, wherever it is called."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reasonenv.checks import check_task
from reasonenv.core import Problem, Reason
from reasonenv.envs.chain import chain
from reasonenv.errors import UserError
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.vector import BatchedReasoningEnv
from reasonenv.tasks import Task
from reasonenv.tokenizer import byte_tokenizer


def judged_by(verify: Any, split: str = "train") -> Task:
    return replace(chain(split=split, operands=2, operators="+", size=8), name="Mine", verify=verify)


@pytest.mark.parametrize("returned", [None, True, 1.0, "correct", (True, "5"), Reason.CORRECT], ids=repr)
def test_what_is_no_verdict_is_named_with_the_verifier(returned: Any) -> None:
    mdp = ReasoningMDP(judged_by(lambda text, problem: returned), byte_tokenizer())
    told = r"^the verifier of Mine returned .* on chain/.*; it must return a Verdict"
    with pytest.raises(UserError, match=told):
        mdp.demonstration(0)
    env = ReasoningEnv(mdp, "response")
    env.reset(options={"problem": 0})
    with pytest.raises(UserError, match=told):
        env.step([3])
    batch = BatchedReasoningEnv(mdp, "token", 2)
    batch.reset()
    with pytest.raises(UserError, match=told):
        batch.step(np.array([256, 256]))
    report = check_task(lambda split="train": judged_by(lambda text, problem: returned, split))
    assert any("the verifier of Mine returned" in check.seen for check in report if not check.holds)


@pytest.mark.parametrize(
    "error", [SystemExit(1), SystemExit("no tests"), ValueError("x"), RecursionError("y")], ids=repr
)
def test_what_a_verifier_raises_is_an_error_that_names_it(error: BaseException) -> None:
    def verify(text: str, problem: Problem) -> Any:
        if isinstance(error, SystemExit):
            sys.exit(error.code)
        raise error

    mdp = ReasoningMDP(judged_by(verify), byte_tokenizer())
    with pytest.warns(UserWarning, match=f"the verifier of Mine failed on chain/.*: {type(error).__name__}"):
        verdict = mdp.demonstration(0).verdict
    assert verdict.reason is Reason.ERROR


def test_whoever_interrupts_is_obeyed() -> None:
    def verify(text: str, problem: Problem) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ReasoningMDP(judged_by(verify), byte_tokenizer()).demonstration(0)
