"""A user's verifier that gives no verdict is named, wherever it is called."""

from __future__ import annotations

import signal
import sys
import time
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reasonenv.checks import check_task
from reasonenv.codec import ARRAYS, decode, encode
from reasonenv.core import Problem, Reason, Verdict
from reasonenv.envs.chain import chain
from reasonenv.errors import UserError
from reasonenv.mdp.config import EnvConfig
from reasonenv.mdp.env import ReasoningEnv
from reasonenv.mdp.mdp import ReasoningMDP
from reasonenv.mdp.vector import BatchedReasoningEnv
from reasonenv.tasks import Task
from reasonenv.tokenizer import byte_tokenizer


def judged_by(verify: Any, split: str = "train") -> Task:
    return replace(chain(split=split, operands=2, operators="+", size=8), name="Mine", verify=verify)


NO_VERDICTS = [None, "correct", "1", (True, "5"), Reason.CORRECT, 1.5, -0.25, float("nan"), 2, [0.5]]


@pytest.mark.parametrize("returned", NO_VERDICTS, ids=repr)
def test_what_is_no_verdict_is_named_with_the_verifier(returned: Any) -> None:
    mdp = ReasoningMDP(judged_by(lambda text, problem: returned), byte_tokenizer())
    told = (
        r"^the verifier '<lambda>' of Mine returned .* on chain/.*; it must return True or False, a score from 0 to 1,"
    )
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
    assert any("the verifier '<lambda>' of Mine returned" in check.seen for check in report if not check.holds)


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


@pytest.mark.parametrize(
    ("returned", "reason", "score"),
    [
        (True, Reason.CORRECT, 1.0),
        (False, Reason.WRONG, 0.0),
        (np.True_, Reason.CORRECT, 1.0),
        (0.25, Reason.WRONG, 0.25),
        (np.float32(0.25), Reason.WRONG, 0.25),
        (1, Reason.CORRECT, 1.0),
        (0, Reason.WRONG, 0.0),
        (1 - 1e-12, Reason.WRONG, 1 - 1e-12),  # only 1 itself is right
        (Verdict(Reason.WRONG, "5", "6", score=0.5), Reason.WRONG, 0.5),
        (Verdict(Reason.CORRECT, "6", "6"), Reason.CORRECT, 1.0),
    ],
    ids=repr,
)
def test_a_bool_a_score_and_a_verdict_are_verdicts(returned: Any, reason: Reason, score: float) -> None:
    mdp = ReasoningMDP(judged_by(lambda text, problem: returned), byte_tokenizer(), EnvConfig(reward="score"))
    episode = mdp.demonstration(0)
    assert (episode.verdict.reason, episode.verdict.score) == (reason, score)
    assert episode.ret == pytest.approx(score)
    assert decode(encode(episode), {name: getattr(episode, name) for name in ARRAYS}).verdict == episode.verdict


def test_a_score_says_whether_an_answer_is_correct() -> None:
    assert Verdict(Reason.CORRECT, "1", "1", score=0.5).score == 1.0
    assert Verdict(Reason.TIMEOUT, None, "1", score=0.5).score == 0.0  # nothing is known of what was not judged
    for score in (1.0, -0.1, float("nan")):
        with pytest.raises(UserError, match=r"score is .* of an answer that is wrong; it must be in \[0, 1\)"):
            Verdict(Reason.WRONG, "1", "2", score=score)


def test_a_verifier_without_end_is_a_timeout_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reasonenv.mdp.verdicts.SECONDS", 0.2)

    def stuck(text: str, problem: Problem) -> Any:
        while True:
            with suppress(Exception):
                time.sleep(60)

    mdp = ReasoningMDP(judged_by(stuck), byte_tokenizer())
    with pytest.warns(UserWarning, match=r"the verifier 'stuck' of Mine took more than 0\.2 seconds on chain/"):
        assert mdp.demonstration(0).verdict.reason is Reason.TIMEOUT
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
